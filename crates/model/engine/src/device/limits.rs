//! Memory and processors that this process may use.

use std::{fs, path::Path};
use tensor::Bytes;

/// What the device allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory that can be taken now: the least of the control group's rest and what the system
    /// calls available. `None` where neither is told.
    pub memory: Option<Bytes>,
    /// Processors in the affinity mask and the quota.
    pub processors: usize,
}

impl Limits {
    /// Reads the limits of this process.
    pub fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// Reads limits from a system laid out under `root`.
    pub fn read_under(root: &Path) -> Self {
        let available = available(&root.join("proc/meminfo"));
        let group = group_rest(root);
        let memory = match (available, group) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { memory, processors }
    }
}

fn available(meminfo: &Path) -> Option<Bytes> {
    let text = fs::read_to_string(meminfo).ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(kib.checked_mul(1024)?))
}

/// What the control group (version 2, else 1) leaves.
fn group_rest(root: &Path) -> Option<Bytes> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let memory = groups.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
    let folder = |base: &str, group: &str| root.join(base).join(group.trim_start_matches('/'));
    let mut rests = Vec::new();
    for group in [unified, "/"] {
        let folder = folder("sys/fs/cgroup", group);
        let limit = number(&folder.join("memory.max"));
        let used = number(&folder.join("memory.current"));
        rests.extend(limit.map(|limit| limit.saturating_sub(used.unwrap_or(0))));
    }
    for group in [memory.unwrap_or("/"), "/"] {
        let folder = folder("sys/fs/cgroup/memory", group);
        let limit = number(&folder.join("memory.limit_in_bytes"));
        let used = number(&folder.join("memory.usage_in_bytes"));
        rests.extend(limit.map(|limit| limit.saturating_sub(used.unwrap_or(0))));
    }
    rests.into_iter().min().map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_wall_counts() {
        let root = std::env::temp_dir().join(format!("ledge-limits-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    4096 kB\n");
        assert_eq!(Limits::read_under(&root).memory, Some(Bytes::mib(4)));
        write("proc/self/cgroup", "0::/app\n");
        write("sys/fs/cgroup/app/memory.max", "max\n");
        assert_eq!(Limits::read_under(&root).memory, Some(Bytes::mib(4)));
        write("sys/fs/cgroup/app/memory.max", "3145728\n");
        write("sys/fs/cgroup/app/memory.current", "1048576\n");
        assert_eq!(Limits::read_under(&root).memory, Some(Bytes::mib(2)));
        fs::remove_dir_all(&root).unwrap();
    }
}
