use std::cell::Cell;

use tempfile::TempDir;

use super::*;

const LIMIT: u64 = 10 * 4_096;
const NOW_US: u64 = 1_790_000_000_000_000;

/// So many records, and ten times as many requests.
fn contents(records: u64) -> Contents {
    Contents {
        records,
        requests: 10 * records,
    }
}

fn batch(sequence: u64) -> Sealed {
    Sealed {
        id: Uuid::from_u128(u128::from(sequence)),
        sequence,
        sealed_us: NOW_US,
        contents: contents(10 + sequence),
        bytes: vec![u8::try_from(sequence).unwrap(); 100],
    }
}

fn open(folder: &TempDir) -> Spool {
    Spool::open(folder.path(), Uuid::new_v4(), LIMIT, &Arc::default()).unwrap()
}

/// Takes everything out as the thread that ships does.
fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(batch) = spool.oldest(NOW_US) {
        sequences.push(batch.sequence);
        spool.remove(&batch);
    }
    sequences
}

#[test]
fn batches_come_out_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    assert_eq!(spool.oldest(NOW_US), None);
    for sequence in 0..5 {
        spool.store(&batch(sequence)).unwrap();
        spool.store(&batch(sequence)).unwrap();
    }
    assert_eq!((spool.batches(), spool.bytes()), (5, 5 * 4_096));
    assert_eq!(spool.oldest(NOW_US), Some(batch(0)));
    spool.remove(&batch(1));
    assert_eq!(
        spool.oldest(NOW_US),
        Some(batch(0)),
        "another one is oldest"
    );
    assert_eq!(drain(&mut spool), [0, 1, 2, 3, 4]);
    assert_eq!((spool.batches(), spool.bytes()), (0, 0));
    assert_eq!(spool.take_losses(), Losses::default());
    spool.close();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_oldest_give_way_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    for sequence in 0..12 {
        spool.store(&batch(sequence)).unwrap();
        assert!(spool.bytes() <= LIMIT);
    }
    assert_eq!(spool.take_losses().contents, contents(10 + 11));
    let too_large = Sealed {
        bytes: vec![0; LIMIT as usize],
        ..batch(20)
    };
    spool.store(&too_large).unwrap();
    assert_eq!(
        spool.take_losses().contents,
        contents(30),
        "it is given up itself"
    );
    assert_eq!(drain(&mut spool), (2..12).collect::<Vec<_>>());
}

#[test]
fn what_a_dead_process_left_comes_first_and_what_a_living_one_has_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut dead = open(&folder);
    let mut living = open(&folder);
    for sequence in 0..3 {
        dead.store(&batch(sequence)).unwrap();
        living.store(&batch(10 + sequence)).unwrap();
    }
    // Without a tidy end.
    drop(dead);
    let mut next = open(&folder);
    next.store(&batch(7)).unwrap();
    assert_eq!(drain(&mut next), [0, 1, 2, 7]);
    drop(living);
    assert_eq!(next.adopt().unwrap(), 3);
    assert_eq!(drain(&mut next), [10, 11, 12]);
    next.close();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_left_by_many_stays_below_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut dead = Vec::new();
    for process in 0..3 {
        let mut spool = open(&folder);
        for sequence in 0..6 {
            spool.store(&batch(10 * process + sequence)).unwrap();
        }
        dead.push(spool);
    }
    drop(dead);
    let mut next = open(&folder);
    assert_eq!((next.batches(), next.bytes()), (10, LIMIT));
    assert_eq!(
        next.take_losses().contents,
        contents((0..6).sum::<u64>() + 10 * 8 + 10 + 11)
    );
    assert_eq!(drain(&mut next), [12, 13, 14, 15, 20, 21, 22, 23, 24, 25]);
}

#[test]
fn a_torn_file_is_set_aside_counted_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    for sequence in 0..4 {
        spool.store(&batch(sequence)).unwrap();
    }
    let path = |spool: &Spool, sequence| spool.own.file(Name::of(&batch(sequence)));
    let whole = fs::read(path(&spool, 1)).unwrap();
    fs::write(path(&spool, 1), &whole[..50]).unwrap();
    fs::remove_file(path(&spool, 2)).unwrap();
    assert_eq!(drain(&mut spool), [0, 3]);
    let losses = Losses {
        contents: contents(11 + 12),
        unreadable: 2,
    };
    assert_eq!(spool.take_losses(), losses);
    let aside = folder.path().join(SET_ASIDE);
    assert_eq!(fs::read_dir(&aside).unwrap().count(), 1);

    // They do not pile up.
    for sequence in 100..120 {
        spool.store(&batch(sequence)).unwrap();
        fs::write(path(&spool, sequence), "torn").unwrap();
        assert_eq!(drain(&mut spool), [0; 0]);
    }
    assert_eq!(fs::read_dir(&aside).unwrap().count(), SET_ASIDE_FILES);
    spool.close();
    assert_eq!(open(&folder).batches(), 0, "they are not taken over");
}

#[test]
fn a_batch_that_is_older_than_the_collector_remembers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    let old = Sealed {
        sealed_us: NOW_US - OLDEST_US - 1,
        ..batch(0)
    };
    spool.store(&old).unwrap();
    spool.store(&batch(1)).unwrap();
    assert_eq!(drain(&mut spool), [1]);
    assert_eq!(spool.take_losses().contents, contents(10));
}

thread_local! {
    /// Files that find room on the disk of a test.
    static ROOM: Cell<usize> = const { Cell::new(0) };
}

fn write_on_small_disk(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    if fs::read_dir(folder)?.count() > ROOM.get() {
        return Err(ErrorKind::StorageFull.into());
    }
    file::write(folder, name, content)
}

#[test]
fn the_oldest_give_way_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.write = write_on_small_disk;
    ROOM.set(3);
    for sequence in 0..5 {
        spool.store(&batch(sequence)).unwrap();
    }
    assert_eq!(spool.take_losses().contents, contents(10 + 11));
    assert_eq!(drain(&mut spool), [2, 3, 4]);
}

#[test]
fn a_disk_that_others_fill_does_not_empty_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.write = write_on_small_disk;
    ROOM.set(5);
    for sequence in 0..5 {
        spool.store(&batch(sequence)).unwrap();
    }
    ROOM.set(0);
    for _ in 0..10 {
        let error = spool.store(&batch(9)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    assert_eq!(spool.batches(), 4, "one was given up to try");
    ROOM.set(9);
    spool.store(&batch(9)).unwrap();
    assert_eq!(drain(&mut spool), [1, 2, 3, 4, 9]);
}

#[test]
fn another_fault_of_the_disk_is_told_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.store(&batch(0)).unwrap();
    spool.write = |_, _, _| Err(ErrorKind::ReadOnlyFilesystem.into());
    assert!(spool.store(&batch(1)).is_err());
    assert_eq!(spool.batches(), 1);
    spool.write = file::write;
    spool.store(&batch(1)).unwrap();
    assert_eq!(drain(&mut spool), [0, 1]);
    assert_eq!(spool.take_losses(), Losses::default());
}

#[test]
fn the_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("made/anew");
    let mut spool = Spool::open(&root, Uuid::new_v4(), LIMIT, &Arc::default()).unwrap();
    spool.store(&batch(0)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(spool.own.path()), 0o700);
    assert_eq!(mode(&spool.own.file(Name::of(&batch(0)))), 0o600);
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut dead = open(&folder);
    dead.store(&batch(0)).unwrap();
    let unfinished = dead.own.path().join("00000000000000000001-5-50.batch.new");
    fs::write(&unfinished, "AWspo").unwrap();
    drop(dead);
    let mut next = open(&folder);
    assert!(!unfinished.exists());
    assert_eq!(drain(&mut next), [0]);
    assert_eq!(next.take_losses(), Losses::default());
}
