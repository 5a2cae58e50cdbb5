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
    /// Those of them that equal shares of work are best given to: all, unless some are so slow that
    /// the others would wait for them.
    pub alike: usize,
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
        let alike = equal_shares(&speeds(root)).map_or(processors, |alike| alike.min(processors));
        Self { memory, processors, alike }
    }
}

/// Of two clocks this far apart the slower one drives a smaller core.
const SMALLER: f64 = 0.8;

/// How fast each processor of the affinity mask is, to some unit: by the scheduler's measure, else
/// by its clock. Empty where neither is told of all.
fn speeds(root: &Path) -> Vec<f64> {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let processors = numbers(allowed.unwrap_or_default());
    let each = |file: &str| -> Option<Vec<f64>> {
        let read = |processor: &usize| {
            let path = format!("sys/devices/system/cpu/cpu{processor}/{file}");
            fs::read_to_string(root.join(path)).ok()?.trim().parse().ok()
        };
        processors.iter().map(read).collect()
    };
    if let Some(capacities) = each("cpu_capacity") {
        return capacities;
    }
    let mut clocks = each("cpufreq/cpuinfo_max_freq").unwrap_or_default();
    let fastest = clocks.iter().copied().fold(0.0, f64::max);
    for clock in &mut clocks {
        if *clock < SMALLER * fastest {
            // Smaller cores do about half as much in a cycle.
            *clock /= 2.0;
        }
    }
    clocks
}

/// The numbers of a list such as `0-3,8`.
fn numbers(list: &str) -> Vec<usize> {
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&n| n < 1 << 16);
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(number(first)?..=number(last)?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// How many of the fastest do most when all get the same work, which the slowest ends last.
fn equal_shares(speeds: &[f64]) -> Option<usize> {
    let mut speeds = speeds.to_vec();
    speeds.sort_by(|a, b| b.total_cmp(a));
    let done = (1..).zip(&speeds).map(|(count, slowest)| (count, f64::from(count) * slowest));
    let most = done.max_by(|a, b| a.1.total_cmp(&b.1))?;
    usize::try_from(most.0).ok()
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

    #[test]
    fn slow_processors_get_no_equal_share() {
        for (speeds, count) in [
            (&[][..], None),
            (&[1024.0; 4], Some(4)),
            (&[250.0, 250.0, 1024.0, 1024.0], Some(2)),
            (&[1024.0, 900.0, 900.0, 900.0, 300.0, 300.0], Some(4)),
            (&[1024.0, 700.0], Some(2)),
        ] {
            assert_eq!(equal_shares(speeds), count, "{speeds:?}");
        }
        let root = std::env::temp_dir().join(format!("ledge-speeds-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-2,4\n");
        assert!(speeds(&root).is_empty());
        for (processor, clock) in [(0, 5_200_000), (1, 5_100_000), (2, 4_000_000), (4, 4_000_000)] {
            let path = format!("sys/devices/system/cpu/cpu{processor}/cpufreq/cpuinfo_max_freq");
            write(&path, &format!("{clock}\n"));
        }
        assert_eq!(speeds(&root), [5_200_000.0, 5_100_000.0, 2_000_000.0, 2_000_000.0]);
        for (processor, capacity) in [(0, 1024), (1, 1024), (2, 700), (4, 700)] {
            write(
                &format!("sys/devices/system/cpu/cpu{processor}/cpu_capacity"),
                &format!("{capacity}"),
            );
        }
        assert_eq!(equal_shares(&speeds(&root)), Some(4));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn lists_of_processors_are_read() {
        for (list, want) in [
            ("0", &[0][..]),
            (" 0-2,5\n", &[0, 1, 2, 5]),
            ("", &[]),
            ("x,3-1,7,0-99999999999", &[7]),
        ] {
            assert_eq!(numbers(list), want, "{list}");
        }
    }
}
