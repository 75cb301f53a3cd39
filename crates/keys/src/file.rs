//! The key-encryption key in a local file: one line of base64, mode 0600.

use std::{
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{ContentKey, Error, KeyProvider, Place, Sealed, fingerprint};

/// A wrapping key read from a file once at start.
#[derive(Debug)]
pub struct FileProvider {
    key: ContentKey,
    id: String,
}

impl FileProvider {
    /// Reads the key, or makes the file with a fresh one when it is not there.
    ///
    /// # Errors
    /// [`Error::File`] when group or others may read it, or it does not hold 32 bytes of base64.
    pub fn open_or_create(path: &Path) -> Result<Self, Error> {
        match Self::open(path) {
            Err(Error::File { reason, .. }) if reason == NOT_THERE => {
                let key = ContentKey::generate()?;
                let text = Zeroizing::new(data_encoding::BASE64.encode(key.bytes()));
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
                    .map_err(|e| failed(path, e))?;
                writeln!(file, "{}", text.as_str()).map_err(|e| failed(path, e))?;
                file.sync_all().map_err(|e| failed(path, e))?;
                Ok(Self::of(key))
            }
            other => other,
        }
    }

    /// Reads an existing key file.
    pub fn open(path: &Path) -> Result<Self, Error> {
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
        let bytes = Zeroizing::new(
            data_encoding::BASE64
                .decode(text.trim().as_bytes())
                .map_err(|_| failed(path, "not base64; restore the file from its backup"))?,
        );
        Ok(Self::of(ContentKey::from_slice(&bytes).map_err(|_| {
            failed(path, "not 32 bytes; restore the file from its backup")
        })?))
    }

    fn of(key: ContentKey) -> Self {
        // The name tells two keys apart without saying anything about either.
        let id = format!(
            "file:{}",
            &fingerprint(&data_encoding::BASE64.encode(key.bytes()))[..12]
        );
        Self { key, id }
    }
}

const NOT_THERE: &str = "it does not exist";

fn failed(path: &Path, reason: impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

impl KeyProvider for FileProvider {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<Sealed, Error> {
        self.key.seal(place, key.bytes())
    }

    fn unwrap(&self, id: &str, place: Place<'_>, wrapped: &Sealed) -> Result<ContentKey, Error> {
        if id != self.id {
            return Err(Error::UnknownKey(id.to_owned()));
        }
        ContentKey::from_slice(&self.key.open(place, wrapped)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_private_and_refused_when_open() {
        let dir = std::env::temp_dir().join(format!("tenantry-keys-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
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
}
