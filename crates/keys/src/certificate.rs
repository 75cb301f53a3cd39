//! Certificates for applications: key pairs made here, or imported from PEM or PFX.
//!
//! Entra takes RSA certificates for client assertions (whether it takes ECDSA is not documented), so
//! RSA it is. ring signs with RSA keys but makes none: the `rsa` crate makes them, and signs and
//! decrypts nothing here.

use getrandom::SysRng;
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    signature::{KeyPair as _, RsaKeyPair},
};
use rsa::{
    RsaPrivateKey,
    pkcs1::DecodeRsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncryptedPrivateKeyInfoRef, pkcs5::pbes2::Kdf},
    rand_core::UnwrapErr,
};
use x509_parser::{parse_x509_certificate, pem::Pem};
use zeroize::Zeroizing;

use crate::Error;

/// Bits of a key made here: with 3,072 RSA is as strong as 128 bits (NIST SP 800-57), and Entra takes
/// them. Entra's own certificates have 2,048, which is why such files are taken too.
const BITS: usize = 3072;
/// Largest file that is looked at; a PFX with a long chain has some ten kilobytes.
const MAX_FILE: usize = 256 * 1024;

/// A public certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// DER, as Entra takes it.
    pub der: Vec<u8>,
    /// Subject, as RFC 4514 text.
    pub subject: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// A certificate with its private key. Dropped, the key is wiped.
#[derive(Clone)]
pub struct CertificateKey {
    /// The public half.
    pub certificate: Certificate,
    /// PKCS#8 in DER.
    pub private_key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateKey({})", self.certificate.subject)
    }
}

/// What is wrong with an imported file, in words for the person who chose it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportError(pub String);

fn wrong<T>(text: &str) -> Result<T, ImportError> {
    Err(ImportError(text.to_owned()))
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`ImportError`] when it is none, or has no RSA key.
    pub fn from_der(der: &[u8]) -> Result<Self, ImportError> {
        let Ok((_, parsed)) = parse_x509_certificate(der) else {
            return wrong("The certificate cannot be read: it is damaged.");
        };
        Ok(Self {
            der: der.to_vec(),
            subject: parsed.subject().to_string(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// SHA-1 of the DER in upper-case hexadecimal: what Entra shows as the thumbprint.
    pub fn thumbprint(&self) -> String {
        data_encoding::HEXUPPER.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref())
    }

    /// SHA-256 of the DER, for the `x5t#S256` header of an assertion.
    pub fn sha256(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &self.der).as_ref());
        bytes
    }

    /// PEM, as a `.cer` file for upload to Entra.
    pub fn pem(&self) -> String {
        let text = data_encoding::BASE64.encode(&self.der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    }
}

/// A new RSA private key as PKCS#8. Takes a good part of a second: not for an async thread.
///
/// # Errors
/// [`Error::Random`] when no key could be made.
pub fn new_rsa_key() -> Result<Zeroizing<Vec<u8>>, Error> {
    let key = RsaPrivateKey::new(&mut UnwrapErr(SysRng), BITS).map_err(|_| Error::Random)?;
    let der = key.to_pkcs8_der().map_err(|_| Error::Random)?;
    Ok(Zeroizing::new(der.as_bytes().to_vec()))
}

impl CertificateKey {
    /// Makes a key pair and its self-signed certificate, valid from the day before `now` (clocks
    /// differ) for `days`. Takes a good part of a second: not for an async thread.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(common_name: &str, now: i64, days: i64) -> Result<Self, Error> {
        let private_key = new_rsa_key()?;
        let certificate = self_signed(&private_key, common_name, now, days).ok_or(Error::Random)?;
        Ok(Self {
            certificate,
            private_key,
        })
    }

    /// Reads a PFX, or PEM with a private key and its certificate. `password` opens either.
    ///
    /// # Errors
    /// [`ImportError`] in words: what was found, and what to do.
    pub fn import(file: &[u8], password: &str) -> Result<Self, ImportError> {
        if file.is_empty() {
            return wrong("The file is empty. Choose a PFX, or a PEM with key and certificate.");
        }
        if file.len() > MAX_FILE {
            return wrong("The file has more than 256 KiB. Choose a PFX, or a PEM.");
        }
        let pem = file
            .windows(11)
            .any(|window| window == b"-----BEGIN ".as_slice());
        let (private_key, certificates) = if pem {
            from_pem(file, password)?
        } else {
            from_pfx(file, password)?
        };
        let Ok(pair) = RsaKeyPair::from_pkcs8(&private_key) else {
            return wrong(
                "The private key is no RSA key of 2048 to 8192 bits. Microsoft Entra takes RSA.",
            );
        };
        for der in certificates {
            let Ok((_, parsed)) = parse_x509_certificate(&der) else {
                continue;
            };
            if parsed.public_key().subject_public_key.data.as_ref() == pair.public_key().as_ref() {
                return Ok(Self {
                    certificate: Certificate::from_der(&der)?,
                    private_key,
                });
            }
        }
        wrong(
            "The file holds no certificate that belongs to its private key. Export both together.",
        )
    }
}

fn self_signed(private_key: &[u8], name: &str, now: i64, days: i64) -> Option<Certificate> {
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &private_key.to_vec().into(),
        &rcgen::PKCS_RSA_SHA256,
    )
    .ok()?;
    let mut params = rcgen::CertificateParams::default();
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(rcgen::DnType::CommonName, name);
    params.distinguished_name = subject;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.not_before = day(now - 86_400)?;
    params.not_after = day(now + days * 86_400)?;
    let made = params.self_signed(&pair).ok()?;
    Certificate::from_der(made.der()).ok()
}

/// Midnight UTC of the day of a Unix time, in the type that rcgen takes.
fn day(unix: i64) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(unix - unix.rem_euclid(86_400)).ok()
}

type KeyAndCertificates = (Zeroizing<Vec<u8>>, Vec<Vec<u8>>);

fn from_pfx(file: &[u8], password: &str) -> Result<KeyAndCertificates, ImportError> {
    let store =
        KeyStore::from_pkcs12(file, password, Pkcs12ImportPolicy::Relaxed).map_err(|e| {
            use p12_keystore::error::Error as E;
            ImportError(
                match e {
                    E::MacError(_) | E::Pkcs5Error(_) | E::UnpadError => {
                        "The password does not open this file."
                    }
                    E::UnsupportedEncryptionScheme | E::UnsupportedMacAlgorithm => {
                        "The PFX uses an encryption that is not known here. Export it with AES-256."
                    }
                    _ => "This is neither PFX nor PEM, or it is damaged.",
                }
                .to_owned(),
            )
        })?;
    let Some((_, chain)) = store.private_key_chain() else {
        return wrong("The PFX holds no private key. Export it again, with the private key.");
    };
    let key = Zeroizing::new(chain.key().as_der().to_vec());
    let certificates = chain.certs().iter().map(|c| c.as_der().to_vec()).collect();
    Ok((key, certificates))
}

fn from_pem(file: &[u8], password: &str) -> Result<KeyAndCertificates, ImportError> {
    let mut key = None;
    let mut certificates = Vec::new();
    for block in Pem::iter_from_buffer(file) {
        let Ok(block) = block else {
            return wrong("The PEM text is damaged: a block cannot be read.");
        };
        match block.label.as_str() {
            "CERTIFICATE" => certificates.push(block.contents),
            "PRIVATE KEY" => key = Some(Zeroizing::new(block.contents)),
            "RSA PRIVATE KEY" => {
                let parsed = RsaPrivateKey::from_pkcs1_der(&block.contents)
                    .map_err(|_| ImportError("The private key cannot be read.".into()))?;
                key = Some(pkcs8(&parsed)?);
            }
            "ENCRYPTED PRIVATE KEY" => {
                refuse_costly(&block.contents)?;
                let parsed =
                    RsaPrivateKey::from_pkcs8_encrypted_der(&block.contents, password.as_bytes())
                        .map_err(|_| {
                        ImportError("The password does not open the private key.".into())
                    })?;
                key = Some(pkcs8(&parsed)?);
            }
            "EC PRIVATE KEY" => {
                return wrong("The private key is an EC key. Microsoft Entra takes RSA.");
            }
            _ => {}
        }
    }
    match key {
        Some(_) if certificates.is_empty() => wrong(
            "The PEM holds a private key but no certificate. Put both into one file, one after \
             the other.",
        ),
        Some(key) => Ok((key, certificates)),
        None => wrong(
            "The PEM holds no private key. Put the private key and its certificate into one file.",
        ),
    }
}

/// How much work opening a key may be is said in its file, and the file is somebody else's: what
/// would take gigabytes or minutes is refused.
fn refuse_costly(der: &[u8]) -> Result<(), ImportError> {
    const MAX_ROUNDS: u32 = 2_000_000;
    const MAX_MEMORY: u64 = 64 * 1024 * 1024;
    let unknown = || ImportError("The private key's encryption is not known here.".into());
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unknown())?;
    let scheme = info.encryption_algorithm.pbes2().ok_or_else(unknown)?;
    let costly = match &scheme.kdf {
        Kdf::Pbkdf2(params) => params.iteration_count > MAX_ROUNDS,
        Kdf::Scrypt(params) => {
            let memory = params
                .cost_parameter
                .checked_mul(u64::from(params.block_size))
                .and_then(|n| n.checked_mul(128));
            memory.is_none_or(|m| m > MAX_MEMORY) || params.parallelization > 4
        }
        _ => return Err(unknown()),
    };
    if costly {
        return wrong(
            "The private key's password protection costs too much to open. Export it anew.",
        );
    }
    Ok(())
}

fn pkcs8(key: &RsaPrivateKey) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    key.to_pkcs8_der()
        .map(|der| Zeroizing::new(der.as_bytes().to_vec()))
        .map_err(|_| ImportError("The private key cannot be read.".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn made() -> CertificateKey {
        CertificateKey::generate("Halden portal", NOW, 365).unwrap()
    }

    fn pem_of(label: &str, der: &[u8]) -> String {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            data_encoding::BASE64.encode(der)
        )
    }

    #[test]
    fn what_is_made_can_be_imported_in_every_form() {
        let made = made();
        assert!(made.certificate.subject.contains("Halden portal"));
        assert!(made.certificate.not_before <= NOW - 80_000);
        assert!(made.certificate.not_after >= NOW + 364 * 86_400);
        let parsed = RsaPrivateKey::from_pkcs8_der(&made.private_key).unwrap();
        let pkcs1 = rsa::pkcs1::EncodeRsaPrivateKey::to_pkcs1_der(&parsed).unwrap();
        for (key, password) in [
            (pem_of("PRIVATE KEY", &made.private_key), ""),
            (pem_of("RSA PRIVATE KEY", pkcs1.as_bytes()), ""),
        ] {
            let file = format!("{key}{}", made.certificate.pem());
            let read = CertificateKey::import(file.as_bytes(), password).unwrap();
            assert_eq!(read.certificate, made.certificate);
            assert_eq!(read.private_key, made.private_key);
        }
        let chain = p12_keystore::PrivateKeyChain::new(
            "1",
            p12_keystore::PrivateKey::from_der(&made.private_key).unwrap(),
            [p12_keystore::Certificate::from_der(&made.certificate.der).unwrap()],
        );
        let mut store = KeyStore::new();
        store.add_entry("x", p12_keystore::KeyStoreEntry::PrivateKeyChain(chain));
        let pfx = store.writer("open sesame").write().unwrap();
        let read = CertificateKey::import(&pfx, "open sesame").unwrap();
        assert_eq!(read.certificate, made.certificate);
        let refused = CertificateKey::import(&pfx, "wrong").unwrap_err();
        assert!(refused.0.contains("password"), "{refused}");
    }

    /// An encrypted key whose file asks for four billion rounds.
    fn costly() -> String {
        let key = RsaPrivateKey::from_pkcs8_der(&new_rsa_key().unwrap()).unwrap();
        let params = rsa::pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(
            2048, &[7; 16], [9; 16],
        )
        .unwrap();
        let plain = key.to_pkcs8_der().unwrap();
        let info = rsa::pkcs8::PrivateKeyInfoRef::try_from(plain.as_bytes()).unwrap();
        let sealed = info.encrypt_with_params(params, b"open sesame").unwrap();
        let file = pem_of("ENCRYPTED PRIVATE KEY", sealed.as_bytes());
        let opened = CertificateKey::import(file.as_bytes(), "open sesame").unwrap_err();
        assert!(
            opened.0.contains("no certificate"),
            "a usual key is opened: {opened}"
        );
        // The count is an INTEGER of two bytes, 2048: the same place with four bytes.
        let mut der = sealed.as_bytes().to_vec();
        let at = der.windows(4).position(|w| w == [2, 2, 8, 0]).unwrap();
        der.splice(at..at + 4, [2, 4, 0x7f, 0xff, 0xff, 0xff]);
        // Lengths of what surrounds it grow by two.
        for i in (0..at).rev() {
            if der[i] == 0x30 && der[i + 1] < 0x80 && i + 2 + usize::from(der[i + 1]) + 2 >= at {
                der[i + 1] += 2;
            } else if der[i] == 0x30 && der[i + 1] == 0x82 {
                let length = u16::from_be_bytes([der[i + 2], der[i + 3]]) + 2;
                der[i + 2..i + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        pem_of("ENCRYPTED PRIVATE KEY", &der)
    }

    #[test]
    fn a_file_that_does_not_do_says_why() {
        let (one, other) = (made(), made());
        let key = pem_of("PRIVATE KEY", &one.private_key);
        for (file, expected) in [
            (String::new(), "empty"),
            ("hello".into(), "neither PFX nor PEM"),
            (key.clone(), "no certificate"),
            (one.certificate.pem(), "no private key"),
            (format!("{key}{}", other.certificate.pem()), "belongs"),
            (pem_of("EC PRIVATE KEY", b"x"), "RSA"),
            (pem_of("ENCRYPTED PRIVATE KEY", b"x"), "encryption"),
            (costly(), "costs too much"),
        ] {
            let error = CertificateKey::import(file.as_bytes(), "").unwrap_err();
            assert!(error.0.contains(expected), "{expected}: {error}");
        }
    }
}
