//! Key-encryption keys that are held here: a file of mode 0600, or a text from the environment. A key is
//! one line of base64. The first line wraps; those below it unwrap what was wrapped before they were
//! replaced.

use std::{
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::SystemTime,
};

use zeroize::Zeroizing;

use crate::{ContentKey, Error, KeyProvider, Place, Sealed, fingerprint};

/// Wrapping keys of a file, read at start and again when the file has changed, so that a key that was
/// added is known to every process that runs.
#[derive(Debug)]
pub struct FileProvider {
    path: Option<PathBuf>,
    held: RwLock<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    /// Names and keys, the one that wraps first; never empty.
    keys: Vec<(String, ContentKey)>,
    changed_at: Option<SystemTime>,
}

impl FileProvider {
    /// Reads the keys, or makes the file with a fresh one when it is not there.
    ///
    /// # Errors
    /// [`Error::File`] when group or others may read it, or a line is not 32 bytes of base64.
    pub fn open_or_create(path: &Path) -> Result<Self, Error> {
        match Self::open(path) {
            Err(Error::File { reason, .. }) if reason == NOT_THERE => {
                let text = Zeroizing::new(format!("{}\n", line(&ContentKey::generate()?).as_str()));
                write(path, &text, true)?;
                Self::open(path)
            }
            other => other,
        }
    }

    /// Reads an existing key file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            held: RwLock::new(read(path)?),
            path: Some(path.to_owned()),
        })
    }

    /// Keys of a text, which does not change while the process runs.
    ///
    /// # Errors
    /// [`Error::File`] with `name` for what is no key.
    pub fn of_text(name: &str, text: &str) -> Result<Self, Error> {
        let keys = parse(Path::new(name), text)?;
        Ok(Self {
            path: None,
            held: RwLock::new(Held {
                keys,
                changed_at: None,
            }),
        })
    }

    /// Puts a fresh key before the others: from now on it wraps, here and in every process that has
    /// the file.
    pub fn add(path: &Path) -> Result<(), Error> {
        let mut keys = read(path)?.keys;
        let fresh = ContentKey::generate()?;
        keys.insert(0, (name(&fresh), fresh));
        replace(path, &keys)
    }

    /// Takes all keys but the first out of the file. Whoever calls it has made sure that nothing is
    /// wrapped under them.
    pub fn retire(path: &Path) -> Result<(), Error> {
        let mut keys = read(path)?.keys;
        keys.truncate(1);
        replace(path, &keys)
    }

    /// The keys as the file has them now.
    fn held(&self) -> Result<Held, Error> {
        let held = self
            .held
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(path) = &self.path else {
            return Ok(held);
        };
        // While the file is away, what was read of it stands.
        let changed_at = std::fs::metadata(path)
            .and_then(|meta| meta.modified())
            .ok();
        if changed_at.is_none() || changed_at == held.changed_at {
            return Ok(held);
        }
        let fresh = read(path)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        Ok(fresh)
    }
}

const NOT_THERE: &str = "it does not exist";

fn failed(path: &Path, reason: impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// The name tells two keys apart without saying anything about either.
fn name(key: &ContentKey) -> String {
    format!("file:{}", &fingerprint(&line(key))[..12])
}

fn line(key: &ContentKey) -> Zeroizing<String> {
    Zeroizing::new(data_encoding::BASE64.encode(key.bytes()))
}

fn read(path: &Path) -> Result<Held, Error> {
    let meta = match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(failed(path, NOT_THERE));
        }
        other => other.map_err(|e| failed(path, e))?,
    };
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(failed(
            path,
            "others may read it; run `chmod 600` on it and start again",
        ));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| failed(path, e))?);
    Ok(Held {
        keys: parse(path, &text)?,
        changed_at: meta.modified().ok(),
    })
}

fn parse(path: &Path, text: &str) -> Result<Vec<(String, ContentKey)>, Error> {
    let mut keys = Vec::new();
    for line in text.split_whitespace() {
        let bytes = Zeroizing::new(
            data_encoding::BASE64
                .decode(line.as_bytes())
                .map_err(|_| failed(path, "not base64; restore it from its backup"))?,
        );
        let key = ContentKey::from_slice(&bytes)
            .map_err(|_| failed(path, "not 32 bytes; restore it from its backup"))?;
        keys.push((name(&key), key));
    }
    match keys.is_empty() {
        true => Err(failed(path, "it holds no key; restore it from its backup")),
        false => Ok(keys),
    }
}

fn write(path: &Path, text: &str, is_new: bool) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    match is_new {
        true => options.create_new(true),
        false => options.create(true).truncate(true),
    };
    let mut file = options.open(path).map_err(|e| failed(path, e))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| failed(path, e))
}

/// The whole file or nothing: a crash leaves the one before it or this one.
fn replace(path: &Path, keys: &[(String, ContentKey)]) -> Result<(), Error> {
    let mut text = Zeroizing::new(String::new());
    for (_, key) in keys {
        text.push_str(&line(key));
        text.push('\n');
    }
    let beside = path.with_extension("new");
    write(&beside, &text, false)?;
    std::fs::rename(&beside, path).map_err(|e| failed(path, e))?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(|e| failed(path, e))
}

#[async_trait::async_trait]
impl KeyProvider for FileProvider {
    fn id(&self) -> String {
        let first = |held: Held| held.keys.first().map(|(name, _)| name.clone());
        self.held().ok().and_then(first).unwrap_or_default()
    }

    fn knows(&self, id: &str) -> bool {
        self.held()
            .is_ok_and(|held| held.keys.iter().any(|(name, _)| name == id))
    }

    async fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<(String, Sealed), Error> {
        let held = self.held()?;
        let (name, wrapping) = &held.keys[0];
        Ok((name.clone(), wrapping.seal(place, key.bytes())?))
    }

    async fn unwrap(
        &self,
        id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error> {
        let held = self.held()?;
        let found = held.keys.iter().find(|(name, _)| name == id);
        let (_, key) = found.ok_or_else(|| Error::UnknownKey(id.to_owned()))?;
        ContentKey::from_slice(&key.open(place, wrapped)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tenantry-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_file_is_made_once_private_and_refused_when_open() {
        let dir = folder("keys");
        let path = dir.join("kek");
        let first = FileProvider::open_or_create(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            first.id(),
            FileProvider::open_or_create(&path).unwrap().id()
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            FileProvider::open_or_create(&path),
            Err(Error::File { .. })
        ));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_key_that_was_added_is_known_to_who_runs_already() {
        let dir = folder("added");
        let path = dir.join("kek");
        let running = FileProvider::open_or_create(&path).unwrap();
        let before = running.id();
        // Files have times of a coarse clock.
        std::thread::sleep(std::time::Duration::from_millis(20));
        FileProvider::add(&path).unwrap();
        let added = FileProvider::open(&path).unwrap().id();
        assert_ne!(before, added);
        assert!(running.knows(&added) && running.knows(&before));
        assert_eq!(running.id(), added);
        std::thread::sleep(std::time::Duration::from_millis(20));
        FileProvider::retire(&path).unwrap();
        assert!(running.knows(&added) && !running.knows(&before));
        assert!(!dir.join("kek.new").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
