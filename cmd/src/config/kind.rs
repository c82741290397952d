//! The kinds of values: for each the rule in words and the check of it, side by side.
//!
//! Pure but for the files that a value names, which are read here and whose contents never appear in a fault.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{AddrParseError, IpAddr};
use std::path::{Path, PathBuf};

use adapters::endpoint::{self, Endpoint, Secret};
use adapters::logs::Levels;
use adapters::webhook::secrets::Secrets;
use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Largest file that a variable may name, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Longest key prefix in bytes; Redis allows far more, but every key repeats it.
const KEY_MAX: usize = 512;

/// Says what the value of a variable has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Number {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// A whole number of seconds, at least 1.
    Seconds {
        /// Greatest value.
        max: u64,
    },
    /// A TCP port, 0 for any free one.
    Port,
    /// A word of a closed list.
    OneOf(&'static [&'static str]),
    /// The name of a replica.
    Name,
    /// An RFC 1123 label.
    Label,
    /// An RFC 1123 subdomain.
    Subdomain,
    /// Comma separated labels, each once.
    Namespaces,
    /// A Redis key.
    Key,
    /// The beginning of Redis keys that have a hash tag of their own.
    KeyPrefix,
    /// A Redis endpoint.
    Endpoint,
    /// Comma separated networks or addresses.
    Networks,
    /// A file with a password.
    PasswordFile,
    /// A PEM file with certificates.
    CertificateFile,
    /// A file with signing secrets.
    SigningSecretFile,
    /// A filter of log levels.
    Levels,
}

impl Kind {
    /// Gives the rule as a phrase that begins with "must".
    pub(crate) fn rule(&self) -> String {
        let rule = match self {
            Self::Number { min, max } => return format!("must be a whole number, {min} to {max}"),
            Self::Seconds { max } => {
                return format!("must be a whole number of seconds, 1 to {max}");
            }
            Self::OneOf(words) => return format!("must be one of: {}", words.join(", ")),
            Self::Port => "must be a port, 1 to 65535, or 0 for any free one",
            Self::Name => "must be 1 to 253 letters, digits, '-', '_' or '.'",
            Self::Label => {
                "must be a DNS label: 1 to 63 lower-case letters, digits or '-', with a letter or digit at both ends"
            }
            Self::Subdomain => "must be a DNS subdomain: DNS labels joined by '.', at most 253 characters",
            Self::Namespaces => "must be DNS labels, comma separated, each once",
            Self::Key => "must be 1 to 512 bytes without spaces or control characters",
            Self::KeyPrefix => "must be 1 to 512 bytes without spaces, control characters, '{' or '}'",
            Self::Endpoint => "must be host:port, redis://…, rediss://… or unix:///path",
            Self::Networks => "must be IP networks such as 10.0.0.0/8 or fd00::/8, comma separated",
            Self::PasswordFile => "must be a readable file with a password on one line",
            Self::CertificateFile => "must be a readable PEM file with at least one certificate",
            Self::SigningSecretFile => {
                "must be a readable file of whsec_ secrets, one a line, each the base64 of 24 to 64 bytes"
            }
            Self::Levels => "must be error, warn, info, debug or trace, or a list such as info,kube=debug",
        };
        rule.to_owned()
    }

    /// Gives a value as a fault or a log line may show it: without the login of an endpoint.
    pub(crate) fn shown(&self, value: &str) -> String {
        match self == &Self::Endpoint {
            true => endpoint::masked(value),
            false => value.to_owned(),
        }
    }
}

/// Says what is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The rule of the kind is broken.
    Rule,
    /// A part of it is, which this names in place of the rule.
    Because(String),
}

type Checked<T> = Result<T, Wrong>;

pub(super) fn number(text: &str, min: u64, max: u64) -> Checked<u64> {
    // `parse` would accept a plus sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::Rule);
    }
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or(Wrong::Rule)
}

pub(super) fn word<T: Copy>(text: &str, meanings: &[(&str, T)]) -> Checked<T> {
    meanings
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, meaning)| *meaning)
        .ok_or(Wrong::Rule)
}

pub(super) fn name(text: &str) -> Checked<String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    checked(text, text.len() <= 253 && text.bytes().all(known))
}

pub(super) fn label(text: &str) -> Checked<String> {
    checked(text, is_label(text))
}

pub(super) fn subdomain(text: &str) -> Checked<String> {
    checked(text, text.len() <= 253 && text.split('.').all(is_label))
}

pub(super) fn namespaces(text: &str) -> Checked<Vec<String>> {
    let mut namespaces = Vec::new();
    for namespace in text.split(',').map(str::trim) {
        if !is_label(namespace) || namespaces.iter().any(|known| known == namespace) {
            return Err(Wrong::Rule);
        }
        namespaces.push(namespace.to_owned());
    }
    Ok(namespaces)
}

pub(super) fn key(text: &str) -> Checked<String> {
    checked(text, is_key(text))
}

pub(super) fn key_prefix(text: &str) -> Checked<String> {
    checked(text, is_key(text) && !text.contains(['{', '}']))
}

pub(super) fn endpoint(text: &str) -> Checked<Endpoint> {
    text.parse()
        .map_err(|error: endpoint::Error| Wrong::Because(error.to_string()))
}

pub(super) fn networks(text: &str) -> Checked<Vec<IpNet>> {
    text.split(',')
        .map(str::trim)
        .map(|network| {
            let address = || network.parse::<IpAddr>().map(IpNet::from);
            network
                .parse::<IpNet>()
                .map(|network| network.trunc())
                .or_else(|_| address())
        })
        .collect::<Result<_, AddrParseError>>()
        .map_err(|_| Wrong::Rule)
}

pub(super) fn levels(text: &str) -> Checked<Levels> {
    text.parse().map_err(|_| Wrong::Rule)
}

/// Reads a password; the newline that editors add is not part of it.
pub(super) fn password(path: &str) -> Checked<Secret> {
    let text = read(Path::new(path))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    match password.is_empty() || password.contains(['\n', '\r']) {
        true => Err(Wrong::Rule),
        false => Ok(Secret::new(password)),
    }
}

/// Reads certificates and refuses the file if one of them could not be a trust anchor.
pub(super) fn certificates(path: &str) -> Checked<Certificates> {
    let pem = read(Path::new(path))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| Wrong::Rule)?;
        roots.add(certificate).map_err(|_| Wrong::Rule)?;
    }
    match roots.is_empty() {
        true => Err(Wrong::Rule),
        false => Ok(Certificates {
            path: PathBuf::from(path),
            pem,
        }),
    }
}

/// Reads and checks signing secrets.
pub(super) fn signing_secrets(path: &str) -> Checked<SigningSecrets> {
    let text = read(Path::new(path))?;
    match Secrets::parse(&text) {
        Ok(_) => Ok(SigningSecrets {
            path: PathBuf::from(path),
        }),
        Err(fault) => Err(Wrong::Because(fault.to_string())),
    }
}

/// Holds the checked contents of a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// Where they were read.
    pub path: PathBuf,
    /// At least one certificate.
    pub pem: String,
}

/// Holds the checked contents of a file with signing secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningSecrets {
    /// Where they were read, and are read again when the file changes.
    pub path: PathBuf,
}

fn checked(text: &str, sound: bool) -> Checked<String> {
    sound.then(|| text.to_owned()).ok_or(Wrong::Rule)
}

/// RFC 1123, as Kubernetes checks it.
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_key(text: &str) -> bool {
    text.len() <= KEY_MAX && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn read(path: &Path) -> Checked<String> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.take(FILE_MAX + 1).read_to_string(&mut text)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_MAX {
            return Err(io::Error::other(format!("larger than {FILE_MAX} bytes")));
        }
        Ok(text)
    };
    read().map_err(|error| Wrong::Because(format!("cannot be read: {error}")))
}
