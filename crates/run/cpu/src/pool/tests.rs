use super::*;
use core::time::Duration;
use std::collections::BTreeSet;

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

#[test]
fn every_worker_runs_every_job_once() {
    for threads in [1, 2, 3, 8, 64] {
        let pool = pool(threads);
        let counts: Vec<AtomicU32> = (0..threads).map(|_| AtomicU32::new(0)).collect();
        let mut team = pool.team();
        for _ in 0..50 {
            team.run(&|worker| {
                counts[worker].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 50), "{threads}");
    }
}

#[test]
fn a_pool_that_slept_wakes_up() {
    let pool = pool(3);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(20));
        let sum = AtomicUsize::new(0);
        pool.team().run(&|worker| {
            sum.fetch_add(worker, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 3);
    }
}

#[test]
fn tiles_cover_each_matrix_exactly_once() {
    for (threads, split) in
        [(1, Split::Runs(1)), (2, Split::Runs(2)), (5, Split::Runs(3)), (3, Split::Queue)]
    {
        let pool = pool(threads);
        for (rows, columns, tile_rows, tile_columns) in
            [(1, 1, 1, 1), (1, 100, 1, 16), (7, 33, 2, 16), (3, 640, 3, 16), (50, 4, 1, 4)]
        {
            let mut a = vec![0u32; rows * columns];
            let mut b = vec![0u32; columns];
            let mut outs = [
                Tiles::new(&mut a, columns, tile_rows, tile_columns),
                Tiles::new(&mut b, columns, 1, tile_columns),
            ];
            let mut scratch = vec![0; 8 * threads];
            let parts = Parts::new(&mut scratch, 8);
            pool.team().tiles(&mut outs, &parts, split, |scratch, matrix, mut tile| {
                scratch.fill(1);
                for row in tile.rows() {
                    let first = tile.columns().start;
                    for (column, out) in (first..).zip(tile.row(row)) {
                        *out += u32::try_from(1000 * matrix + row * columns + column + 1).unwrap();
                    }
                }
            });
            for (at, value) in (1..).zip(&a) {
                assert_eq!(*value, at, "{threads} {rows} {columns}");
            }
            for (at, value) in (1001..).zip(&b) {
                assert_eq!(*value, at, "{threads} {rows} {columns}");
            }
        }
    }
}

#[test]
fn rows_arrive_whole() {
    let pool = pool(3);
    let mut out = vec![0; 100 * 7];
    pool.team().rows(&mut out, 7, &Parts::none(), |_, first, rows| {
        for (row, values) in (first..).zip(rows.chunks_exact_mut(7)) {
            values.fill(row);
        }
    });
    for (row, values) in out.chunks_exact(7).enumerate() {
        assert!(values.iter().all(|&value| value == row));
    }
}

#[test]
fn a_panic_in_a_job_reaches_the_caller_and_leaves_the_pool_usable() {
    let pool = pool(4);
    for culprit in [0, 2] {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.team().run(&|worker| assert!(worker != culprit, "on purpose"));
        }));
        assert!(caught.is_err(), "{culprit}");
        let seen = Mutex::new(BTreeSet::new());
        pool.team().run(&|worker| {
            seen.lock().unwrap().insert(worker);
        });
        assert_eq!(seen.into_inner().unwrap().len(), 4);
    }
}

#[test]
fn two_callers_take_turns() {
    let pool = pool(2);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    pool.team().run(&|_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 400);
}
