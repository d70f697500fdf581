use super::*;
use ripost_runtime::Target;
use std::os::unix::fs::PermissionsExt as _;

const KEY: [u8; 32] = [7; 32];

struct Place {
    folder: Utf8PathBuf,
    _guard: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(guard.path().join("cache")).unwrap();
        Self { folder, _guard: guard }
    }

    fn open(&self, bytes_max: u64) -> Cache {
        Cache::open(self.folder.clone(), &KEY, bytes_max).unwrap()
    }

    fn path(&self, key: &Key) -> Utf8PathBuf {
        self.folder.join(name(key))
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.folder).unwrap().count()
    }
}

fn key(component: u8) -> Key {
    let target = Target { scheme: Scheme::Small, memory_reservation_bytes: 64 << 20 };
    Key { component: [component; 32], target, compatibility: 3 }
}

fn found(bytes: &[u8]) -> Found {
    Found::Artefact(bytes.to_vec())
}

#[test]
fn what_is_kept_is_found_again_after_a_restart_too() {
    let place = Place::new();
    let cache = place.open(1 << 20);
    assert_eq!(cache.find(&key(1)), Found::Nothing);
    cache.keep(&key(1), b"code");
    cache.keep(&key(2), b"");
    for cache in [&cache, &place.open(1 << 20)] {
        assert_eq!(cache.find(&key(1)), found(b"code"));
        assert_eq!(cache.find(&key(2)), found(b""));
    }
    assert_eq!(fs::metadata(&place.folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(place.path(&key(1))).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn any_difference_in_a_key_is_another_artefact() {
    let place = Place::new();
    let cache = place.open(1 << 20);
    let one = key(1);
    let mut others = [key(2), one, one, one];
    others[1].target.scheme = Scheme::Large;
    others[2].target.memory_reservation_bytes += 1;
    others[3].compatibility += 1;
    cache.keep(&one, b"code");
    for other in &others {
        assert_eq!(cache.find(other), Found::Nothing);
        // A file that was put there for another key is known by its MAC.
        fs::copy(place.path(&one), place.path(other)).unwrap();
        assert_eq!(cache.find(other), Found::Rejected);
        assert!(!place.path(other).exists());
    }
    assert_eq!(cache.find(&one), found(b"code"));
}

#[test]
fn a_file_with_any_byte_changed_is_thrown_away() {
    let place = Place::new();
    let cache = place.open(1 << 20);
    cache.keep(&key(1), b"code");
    let whole = fs::read(place.path(&key(1))).unwrap();
    let forged = |bytes: &[u8]| {
        fs::write(place.path(&key(1)), bytes).unwrap();
        let found = cache.find(&key(1));
        assert!(found == Found::Artefact(b"code".to_vec()) || !place.path(&key(1)).exists());
        found
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(forged(&bytes), Found::Rejected, "byte {at}");
        assert_eq!(forged(&whole[..at]), Found::Rejected, "{at} bytes");
    }
    assert_eq!(forged(&[&whole[..], b"x"].concat()), Found::Rejected);
    assert_eq!(forged(&whole), found(b"code"));
}

#[test]
fn what_was_kept_under_another_master_key_is_thrown_away() {
    let place = Place::new();
    place.open(1 << 20).keep(&key(1), b"code");
    let other = Cache::open(place.folder.clone(), &[8; 32], 1 << 20).unwrap();
    assert_eq!(other.find(&key(1)), Found::Rejected);
    assert_eq!(other.find(&key(1)), Found::Nothing);
}

#[test]
fn a_link_or_a_pipe_in_the_place_of_a_file_is_not_followed() {
    let place = Place::new();
    let cache = place.open(1 << 20);
    cache.keep(&key(1), b"code");
    let aside = place.folder.join("aside");
    fs::rename(place.path(&key(1)), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, place.path(&key(1))).unwrap();
    assert_eq!(cache.find(&key(1)), Found::Rejected);
    assert!(aside.exists() && fs::symlink_metadata(place.path(&key(1))).is_err());
    nix::unistd::mkfifo(place.path(&key(1)).as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(cache.find(&key(1)), Found::Rejected);
}

#[test]
fn a_folder_that_others_may_enter_or_that_is_a_link_is_refused() {
    for mode in [0o701, 0o710, 0o755, 0o777] {
        let place = Place::new();
        place.open(1 << 20);
        fs::set_permissions(&place.folder, fs::Permissions::from_mode(mode)).unwrap();
        let refused = Cache::open(place.folder.clone(), &KEY, 1 << 20).err().unwrap();
        assert!(matches!(refused, CacheError::Wide { mode: told, .. } if told == mode), "{refused}");
    }
    let place = Place::new();
    place.open(1 << 20);
    let link = place.folder.with_file_name("link");
    std::os::unix::fs::symlink(&place.folder, &link).unwrap();
    assert!(matches!(Cache::open(link, &KEY, 1 << 20), Err(CacheError::NotOurs { .. })));
    let file = place.folder.with_file_name("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Cache::open(file, &KEY, 1 << 20), Err(CacheError::NotOurs { .. })));
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let place = Place::new();
    let one = (HEAD_BYTES + 100) as u64;
    let cache = place.open(3 * one);
    for component in 1..=3 {
        cache.keep(&key(component), &[component; 100]);
    }
    assert_eq!(cache.find(&key(1)), found(&[1; 100]));
    cache.keep(&key(4), &[4; 100]);
    assert_eq!(cache.find(&key(2)), Found::Nothing);
    assert_eq!(place.files(), 3);
    // The same again takes no more room.
    cache.keep(&key(4), &[5; 100]);
    assert_eq!((cache.find(&key(4)), place.files()), (found(&[5; 100]), 3));
    // One that is as large as all of them, and one that is larger.
    cache.keep(&key(5), &[5; 300 + 2 * HEAD_BYTES]);
    assert_eq!((cache.index().bytes, place.files()), (3 * one, 1));
    cache.keep(&key(6), &[6; 301 + 2 * HEAD_BYTES]);
    assert_eq!((cache.find(&key(6)), place.files()), (Found::Nothing, 1));
}

#[test]
fn the_order_of_use_outlives_a_restart_and_a_smaller_cache_is_cleared_at_its_start() {
    let place = Place::new();
    let one = (HEAD_BYTES + 100) as u64;
    let cache = place.open(3 * one);
    for component in 1..=3_u8 {
        cache.keep(&key(component), &[component; 100]);
        let file = File::options().write(true).open(place.path(&key(component))).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(component))).unwrap();
    }
    fs::write(place.folder.join(".draft-9"), "half").unwrap();
    fs::write(place.folder.join("README"), "not ours").unwrap();
    let cache = place.open(3 * one);
    assert!(!place.folder.join(".draft-9").exists() && place.folder.join("README").exists());
    assert_eq!(cache.find(&key(1)), found(&[1; 100]));
    assert!(place.path(&key(1)).metadata().unwrap().modified().unwrap() > SystemTime::UNIX_EPOCH + TOUCH_EVERY);
    let cache = place.open(one);
    assert_eq!([1, 2, 3].map(|component| place.path(&key(component)).exists()), [true, false, false]);
    assert_eq!(cache.find(&key(1)), found(&[1; 100]));
}

#[test]
fn finding_and_keeping_at_the_same_time_gives_whole_artefacts_or_none() {
    let place = Place::new();
    // Room for two of four: files come and go all the time.
    let cache = place.open(2 * (HEAD_BYTES as u64 + 50_000));
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..100_u8 {
                    let component = turn.wrapping_add(thread) % 4;
                    match cache.find(&key(component)) {
                        Found::Artefact(bytes) => assert_eq!(bytes, [component; 50_000]),
                        Found::Nothing => cache.keep(&key(component), &[component; 50_000]),
                        Found::Rejected => panic!("a torn file was seen"),
                    }
                }
            });
        }
    });
    let index = cache.index();
    assert!(index.bytes <= cache.bytes_max);
    drop(index);
    assert!(place.files() <= 2);
}
