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
            team.run_on(threads, &|worker| {
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
        pool.team().run_on(3, &|worker| {
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
fn bands_cover_a_matrix_exactly_once() {
    for (threads, split) in [(1, Split::Runs(1)), (2, Split::Runs(1)), (3, Split::Caller)] {
        let pool = pool(threads);
        for (rows, columns, tile_rows) in [(1, 5, 4), (7, 3, 2), (200, 4, 3)] {
            let mut out = vec![0u32; rows * columns];
            let calls = AtomicUsize::new(0);
            let mut tiles = Tiles::new(&mut out, columns, tile_rows, columns);
            pool.team().bands(&mut tiles, &Parts::none(), split, |_, mut band| {
                calls.fetch_add(1, Ordering::Relaxed);
                assert_eq!(band.rows().start % tile_rows, 0);
                for row in band.rows() {
                    for column in 0..columns {
                        band.part(row..row + 1, column..column + 1).row(row)[0] += 1;
                    }
                }
            });
            assert!(out.iter().all(|&times| times == 1), "{threads} {rows}");
            assert!(
                rows > 7 || calls.into_inner() <= threads,
                "tiles below each other come as one"
            );
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
            pool.team().run_on(4, &|worker| assert!(worker != culprit, "on purpose"));
        }));
        assert!(caught.is_err(), "{culprit}");
        let seen = Mutex::new(BTreeSet::new());
        pool.team().run_on(4, &|worker| {
            seen.lock().unwrap().insert(worker);
        });
        assert_eq!(seen.into_inner().unwrap().len(), 4);
    }
}

/// Short jobs, as those of a small model's tokens.
fn token(pool: &Pool, total: &AtomicUsize) {
    let mut team = pool.team();
    for _ in 0..150 {
        team.run(&|_| {
            let work = (0..2000u64).fold(0, |sum, i| hint::black_box(sum ^ i));
            total.fetch_add((usize::try_from(work).unwrap() & 1) | 1, Ordering::Relaxed);
        });
    }
}

#[test]
fn two_engines_do_not_spin_each_other_to_death() {
    // As many threads as processors each, so that both together are twice too many.
    let threads = thread::available_parallelism().map_or(2, NonZeroUsize::get).max(2);
    let pools = [pool(threads), pool(threads)];
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| (0..20).for_each(|_| token(pool, &total)));
        }
    });
    // Every job ran on its caller at least.
    assert!(total.into_inner() >= 2 * 20 * 150);
}

#[test]
fn fewer_may_take_part_for_a_while() {
    let pool = pool(5);
    for threads in [5, 1, 3, 5, 2, 2, 4, 1, 5] {
        let seen = AtomicUsize::new(0);
        pool.team().run_on(threads, &|worker| {
            assert!(worker < threads);
            seen.fetch_add(1 << (8 * worker), Ordering::Relaxed);
        });
        let want = (0..threads).map(|worker| 1 << (8 * worker)).sum::<usize>();
        assert_eq!(seen.into_inner(), want, "{threads}");
    }
}

#[test]
fn no_more_take_part_than_the_process_may_use() {
    let [threads, most] = [64, 3].map(|n| NonZeroUsize::new(n).unwrap());
    let pool = Pool::limited(threads, most).unwrap();
    let seen = AtomicUsize::new(0);
    pool.team().run(&|worker| {
        assert!(worker < 3);
        seen.fetch_add(1, Ordering::Relaxed);
    });
    assert!(seen.into_inner() <= 3);
}

#[test]
fn two_callers_take_turns() {
    let pool = pool(2);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    pool.team().run_on(2, &|_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 400);
}
