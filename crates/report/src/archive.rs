//! The archive of an assessment: its evidence with their fingerprints, signed, so that somebody who has
//! nothing but the file and the public key can tell whether a byte of it was changed. `docs/evidence.md`
//! has the form.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read, Write},
};

use keys::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// What the first line of a manifest says.
const FORM: &str = "tenantry assessment 1";
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "signature.json";
/// The most that a file of an archive holds, bytes, when one is read back.
const LARGEST: u64 = 512 * 1024 * 1024;

/// What can go wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be written or read.
    #[error("the archive: {0}")]
    Zip(#[from] ZipError),
    /// The same.
    #[error("the archive: {0}")]
    Io(#[from] std::io::Error),
    /// JSON that is none, or not of the form.
    #[error("{0}")]
    Form(String),
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    path: String,
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Signature {
    /// Id of the key.
    key: String,
    /// Base64url.
    public_key: String,
    /// Ed25519 over the bytes of the manifest, base64url.
    signature: String,
}

/// Writes an archive: the files, a manifest with the SHA-256 of each, and its signature. `head` says what
/// it is an archive of.
///
/// # Errors
/// When it cannot be written.
pub fn write(head: Value, mut files: Vec<File>, key: &SigningKey) -> Result<Vec<u8>, Error> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let listed: Vec<Listed> = files
        .iter()
        .map(|file| Listed {
            path: file.path.clone(),
            bytes: file.content.len() as u64,
            sha256: keys::sha256(&file.content),
        })
        .collect();
    let manifest = json!({ "form": FORM, "of": head, "files": listed });
    let manifest =
        serde_json_canonicalizer::to_vec(&manifest).map_err(|e| Error::Form(e.to_string()))?;
    let signature = Signature {
        key: key.id(),
        public_key: key.public_key(),
        signature: key.sign(&manifest),
    };
    let signature =
        serde_json::to_vec_pretty(&signature).map_err(|e| Error::Form(e.to_string()))?;
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // No time of the machine: the same assessment is the same archive.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let ours = [(MANIFEST, &manifest), (SIGNATURE, &signature)];
    let theirs = files.iter().map(|file| (file.path.as_str(), &file.content));
    for (path, content) in ours.into_iter().chain(theirs) {
        zip.start_file(path, options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// What reading an archive back found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What it says that it is an archive of.
    pub head: Value,
    /// Id of the key that signed it.
    pub key: String,
    /// Its public key, base64url.
    pub public_key: String,
    /// Files that are as they were.
    pub files: usize,
    /// What is not as it was, in words; empty for an archive that is whole.
    pub wrong: Vec<String>,
}

/// Reads an archive back and compares everything with what was signed. `public_key` is the one that the
/// verifier has from elsewhere; without it the archive is held to the key that it brings itself, which
/// says that it is whole and not whose it is.
///
/// # Errors
/// When it is no archive, or has no manifest of the form.
pub fn verify(bytes: &[u8], public_key: Option<&str>) -> Result<Verdict, Error> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut verdict = Verdict::default();
    for i in 0..zip.len() {
        let file = zip.by_index(i)?;
        let path = file.name()?.into_owned();
        let mut content = Vec::new();
        if file.take(LARGEST + 1).read_to_end(&mut content).is_err() {
            verdict
                .wrong
                .push(format!("{path} cannot be read: its bytes were changed"));
            content.clear();
        } else if content.len() as u64 > LARGEST {
            return Err(Error::Form(format!("{path} is larger than 512 MiB")));
        }
        if files.insert(path.clone(), content).is_some() {
            verdict.wrong.push(format!("{path} is there twice"));
        }
    }
    let missing = |name: &str| {
        Error::Form(format!(
            "{name} is missing: this is no archive of an assessment"
        ))
    };
    let manifest = files.remove(MANIFEST).ok_or_else(|| missing(MANIFEST))?;
    let signature = files.remove(SIGNATURE).ok_or_else(|| missing(SIGNATURE))?;
    let signature: Signature = serde_json::from_slice(&signature)
        .map_err(|_| Error::Form("signature.json is not of the form".into()))?;
    let key = public_key.unwrap_or(&signature.public_key);
    if !keys::verify(key, &manifest, &signature.signature) {
        verdict.wrong.push(match public_key {
            Some(_) => "the signature is not that key's over this manifest".into(),
            None => "the signature does not fit the manifest".into(),
        });
    }
    verdict.key = signature.key;
    verdict.public_key = signature.public_key;
    let says: Value = serde_json::from_slice(&manifest)
        .map_err(|_| Error::Form("manifest.json is no JSON".into()))?;
    if says["form"] != FORM {
        return Err(Error::Form("manifest.json is not of the form".into()));
    }
    verdict.head = says["of"].clone();
    let listed: Vec<Listed> = serde_json::from_value(says["files"].clone())
        .map_err(|_| Error::Form("manifest.json has no list of files".into()))?;
    let mut named = BTreeSet::new();
    for one in &listed {
        named.insert(one.path.as_str());
        match files.get(&one.path) {
            None => verdict.wrong.push(format!("{} is missing", one.path)),
            Some(content) if keys::sha256(content) != one.sha256 => {
                verdict.wrong.push(format!("{} was changed", one.path));
            }
            Some(_) => verdict.files += 1,
        }
    }
    for path in files.keys().filter(|path| !named.contains(path.as_str())) {
        verdict.wrong.push(format!("{path} was added"));
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> (Vec<u8>, SigningKey) {
        let (key, _) = SigningKey::generate().unwrap();
        let file = |path: &str, content: &str| File {
            path: path.into(),
            content: content.into(),
        };
        let files = vec![
            file("evidence/b.json", "{\"b\":1}"),
            file("evidence/a.json", &"{\"a\":1}".repeat(500)),
        ];
        let bytes = write(json!({ "name": "Q4" }), files, &key).unwrap();
        (bytes, key)
    }

    #[test]
    fn what_was_written_is_whole() {
        let (bytes, key) = archive();
        let verdict = verify(&bytes, Some(&key.public_key())).unwrap();
        assert_eq!((verdict.files, verdict.wrong.as_slice()), (2, &[][..]));
        assert_eq!(verdict.head["name"], "Q4");
        let (other, _) = SigningKey::generate().unwrap();
        assert_eq!(
            verify(&bytes, Some(&other.public_key()))
                .unwrap()
                .wrong
                .len(),
            1
        );
    }

    #[test]
    fn a_changed_byte_of_anything_that_is_read_is_noticed() {
        let (bytes, key) = archive();
        let key = key.public_key();
        let whole = verify(&bytes, Some(&key)).unwrap();
        let mut unnoticed = Vec::new();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            match verify(&changed, Some(&key)) {
                Err(_) => {}
                Ok(verdict) if !verdict.wrong.is_empty() => {}
                Ok(verdict) => {
                    // What the container says besides (dates, versions, attributes) changes no content.
                    assert_eq!((verdict.files, &verdict.head), (whole.files, &whole.head));
                    unnoticed.push(at);
                }
            }
        }
        assert!(
            unnoticed.len() < bytes.len() / 3,
            "{} of {}",
            unnoticed.len(),
            bytes.len()
        );
    }
}
