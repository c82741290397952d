//! Where a Redis server is: the one parser of `REDIS_QUEUE_ENDPOINT` and `CACHE_REDIS_ENDPOINT`.
//!
//! It owns the forms of an endpoint and keeps user and password out of everything that is printed. It never
//! connects, resolves or reads a file. The configuration parses; the Redis adapters connect with
//! [`Endpoint::connection_info`].

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult};

/// The port of an endpoint URL that names none (IANA, and the default of redis-server).
const DEFAULT_PORT: u16 = 6379;

/// Holds a password, a key or a token, and shows it to nobody who prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret as it was read.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Gives the secret itself: for the handshake that needs it, never for a log or an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Names the server that an endpoint reaches; two endpoints with equal addresses reach the same one.
///
/// Host names are compared in lower case and IP addresses in their canonical form; nothing is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or an IP address (IPv6 without brackets) and a port.
    Tcp {
        /// Lower case, never empty.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Holds one parsed endpoint: the address, whether TLS is spoken, and who logs in.
///
/// `Display` and `Debug` show neither user nor password (an old-style URL carries the password as the user).
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    tls: bool,
    user: Option<Secret>,
    password: Option<Secret>,
}

impl Endpoint {
    /// Gives the identity of the server, to tell whether queue and store are the same one.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Tells whether the endpoint asks for TLS (`rediss://`).
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Tells whether the endpoint itself carries a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Describes the connection for the redis crate: database `db`, and `password` (from a password file) in
    /// place of the endpoint's own where it is given.
    ///
    /// The certificates of a private CA are not part of it: see `redis::Client::build_with_tls`.
    ///
    /// # Errors
    /// Those of the redis crate; none is known for an address that was parsed here.
    pub fn connection_info(&self, db: u32, password: Option<&Secret>) -> RedisResult<ConnectionInfo> {
        let addr = match &self.address {
            Address::Tcp { host, port } if self.tls => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Address::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let mut login = RedisConnectionInfo::default().set_db(i64::from(db));
        if let Some(user) = &self.user {
            login = login.set_username(user.reveal());
        }
        if let Some(password) = password.or(self.password.as_ref()) {
            login = login.set_password(password.reveal());
        }
        Ok(addr.into_connection_info()?.set_redis_settings(login))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (&self.address, self.tls) {
            (Address::Unix(_), _) => "unix",
            (Address::Tcp { .. }, true) => "rediss",
            (Address::Tcp { .. }, false) => "redis",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Says which rule of an endpoint a value breaks; no variant carries text of the value, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value has none of the known forms.
    #[error("must be host:port, redis://…, rediss://… or unix:///path")]
    Form,
    /// A Sentinel or Cluster scheme, or a list of hosts.
    #[error("Sentinel and Cluster are not supported yet")]
    Topology,
    /// No host, or characters that no host name has.
    #[error("must name a host: a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is missing where there is no scheme, not a number, or 0.
    #[error("must name a port of 1 to 65535")]
    Port,
    /// `user:password@` without a scheme.
    #[error("user and password need the form redis://user:password@host:port")]
    LoginWithoutScheme,
    /// User or password hold a `%` that is not followed by two hex digits, or bytes that are not UTF-8.
    #[error("user and password must be percent-encoded UTF-8")]
    LoginEncoding,
    /// A path after the host, such as `/3`.
    #[error("must not name a database: it has its own variable")]
    Database,
    /// A query or a fragment.
    #[error("must not have a query or a fragment")]
    Query,
    /// The socket path is not absolute.
    #[error("must name the absolute path of a socket: unix:///path")]
    SocketPath,
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        match value.split_once("://") {
            Some(("redis", rest)) => url(rest, false),
            Some(("rediss", rest)) => url(rest, true),
            Some(("unix", path)) => socket(path),
            Some((scheme, _)) if scheme.contains("sentinel") || scheme.contains("cluster") => {
                Err(Error::Topology)
            }
            Some(_) => Err(Error::Form),
            None if value.contains('@') => Err(Error::LoginWithoutScheme),
            None => Ok(Self {
                address: authority(value, None)?,
                tls: false,
                user: None,
                password: None,
            }),
        }
    }
}

/// Gives an endpoint as it may be printed in a fault: login, query and anything at the place of a port masked.
///
/// Works on any text, for a value that cannot be parsed is the one that has to be shown.
pub fn masked(value: &str) -> String {
    let (scheme, rest) = value
        .split_once("://")
        .map_or(("", value), |(_, rest)| value.split_at(value.len() - rest.len()));
    if scheme == "unix://" && rest.starts_with('/') {
        return format!("{scheme}{}", rest.split(['?', '#']).next().unwrap_or_default());
    }
    let (login, rest) = rest
        .rsplit_once('@')
        .map_or(("", rest), |(_, rest)| ("***@", rest));
    let hosts: Vec<String> = rest
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .split(',')
        .map(|host| match host.rsplit_once(':') {
            Some((name, port)) if !port.starts_with(|c: char| c.is_ascii_digit()) && !host.ends_with(']') => {
                format!("{name}:***")
            }
            _ => host.to_owned(),
        })
        .collect();
    format!("{scheme}{login}{}", hosts.join(","))
}

/// Parses what follows `redis://`. The login ends at the last `@`, for a host has none and a path is refused.
fn url(rest: &str, tls: bool) -> Result<Endpoint, Error> {
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (Some(login), rest),
        None => (None, rest),
    };
    if rest.contains(['?', '#']) {
        return Err(Error::Query);
    }
    let host = match rest.split_once('/') {
        Some((host, "")) => host,
        Some(_) => return Err(Error::Database),
        None => rest,
    };
    let address = authority(host, Some(DEFAULT_PORT))?;
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (percent_decoded(user)?, percent_decoded(password)?),
        None => (None, None),
    };
    Ok(Endpoint {
        address,
        tls,
        user,
        password,
    })
}

fn socket(path: &str) -> Result<Endpoint, Error> {
    if path.contains(['?', '#']) {
        return Err(Error::Query);
    }
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(Error::SocketPath);
    }
    Ok(Endpoint {
        address: Address::Unix(PathBuf::from(path)),
        tls: false,
        user: None,
        password: None,
    })
}

fn authority(text: &str, default_port: Option<u16>) -> Result<Address, Error> {
    if text.contains(',') {
        return Err(Error::Topology);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, after) = bracketed.split_once(']').ok_or(Error::Host)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| Error::Host)?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(Error::Port),
            };
            (ip.to_string(), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (host_name(host)?, port)
        }
    };
    let port = match port {
        // `u16::from_str` accepts a sign, a port has none.
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map_err(|_| Error::Port)?,
        Some(port) if port.contains(':') => return Err(Error::Host),
        Some(_) => return Err(Error::Port),
        None => default_port.ok_or(Error::Port)?,
    };
    if port == 0 {
        return Err(Error::Port);
    }
    Ok(Address::Tcp { host, port })
}

/// Accepts what resolvers accept, so underscores too: Compose service names have them.
fn host_name(host: &str) -> Result<String, Error> {
    let known = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if host.is_empty() || host.len() > 253 || !known {
        return Err(Error::Host);
    }
    Ok(host
        .parse::<IpAddr>()
        .map_or_else(|_| host.to_ascii_lowercase(), |ip| ip.to_string()))
}

/// Undoes RFC 3986 percent-encoding; an empty part is an absent one.
fn percent_decoded(text: &str) -> Result<Option<Secret>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hex digits are one byte"));
            }
            _ => return Err(Error::LoginEncoding),
        }
    }
    String::from_utf8(decoded)
        .map(|text| Some(Secret(text)))
        .map_err(|_| Error::LoginEncoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn every_form_of_the_contract_is_read() {
        let cases = [
            ("redis:6379", "redis://redis:6379", tcp("redis", 6379), false),
            (
                "My_Redis.svc:1",
                "redis://my_redis.svc:1",
                tcp("my_redis.svc", 1),
                false,
            ),
            ("[::1]:6380", "redis://[::1]:6380", tcp("::1", 6380), false),
            ("redis://h", "redis://h:6379", tcp("h", 6379), false),
            ("redis://h:7000/", "redis://h:7000", tcp("h", 7000), false),
            ("redis://[0:0::1]", "redis://[::1]:6379", tcp("::1", 6379), false),
            ("rediss://u:p@h:7000", "rediss://h:7000", tcp("h", 7000), true),
            (
                "unix:///run/redis.sock",
                "unix:///run/redis.sock",
                Address::Unix("/run/redis.sock".into()),
                false,
            ),
        ];
        for (text, shown, address, tls) in cases {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(
                (endpoint.to_string(), endpoint.address(), endpoint.tls()),
                (shown.to_owned(), &address, tls),
                "{text}"
            );
        }
    }

    #[test]
    fn every_broken_rule_is_named() {
        let cases = [
            ("", Error::Host),
            ("localhost", Error::Port),
            ("localhost:", Error::Port),
            ("localhost:0", Error::Port),
            ("localhost:+1", Error::Port),
            ("localhost:65536", Error::Port),
            ("::1:6379", Error::Host),
            ("fe80::1:6379", Error::Host),
            ("[::1", Error::Host),
            ("[::1]6379", Error::Port),
            ("[nonsense]:1", Error::Host),
            ("ho st:1", Error::Host),
            ("u:p@h:1", Error::LoginWithoutScheme),
            ("redis://", Error::Host),
            ("redis://h/3", Error::Database),
            ("redis://h:1?protocol=resp3", Error::Query),
            ("redis://u:%zz@h", Error::LoginEncoding),
            ("redis://u:%ff@h", Error::LoginEncoding),
            ("redis://u:%4", Error::Port),
            ("http://h:1", Error::Form),
            ("unix://relative", Error::SocketPath),
            ("unix:///", Error::SocketPath),
            ("unix:///s?db=1", Error::Query),
            ("redis+sentinel://h:1", Error::Topology),
            ("redis-cluster://h:1", Error::Topology),
            ("a:1,b:2", Error::Topology),
            ("redis://u:p@a:1,b:2", Error::Topology),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
        assert_eq!(
            Error::Topology.to_string(),
            "Sentinel and Cluster are not supported yet"
        );
    }

    #[test]
    fn the_connection_has_the_login_and_the_database_of_its_variables() {
        let endpoint: Endpoint = "redis://us%40er:p%3A@w@h:1".parse().unwrap();
        let own = endpoint.connection_info(3, None).unwrap();
        assert_eq!(own.addr(), &ConnectionAddr::Tcp("h".to_owned(), 1));
        assert_eq!(own.redis_settings().db(), 3);
        assert_eq!(own.redis_settings().username(), Some("us@er"));
        assert_eq!(own.redis_settings().password(), Some("p:@w"));
        let from_file = endpoint.connection_info(0, Some(&Secret::new("file"))).unwrap();
        assert_eq!(from_file.redis_settings().password(), Some("file"));
        let bare: Endpoint = "rediss://h".parse().unwrap();
        let bare = bare.connection_info(0, None).unwrap();
        assert_eq!(
            (bare.redis_settings().username(), bare.redis_settings().password()),
            (None, None)
        );
        assert!(matches!(
            bare.addr(),
            ConnectionAddr::TcpTls { insecure: false, .. }
        ));
    }

    #[test]
    fn equal_addresses_are_the_same_server_whatever_logs_in() {
        let a: Endpoint = "redis://u:p@Redis:6379".parse().unwrap();
        let b: Endpoint = "redis:6379".parse().unwrap();
        let c: Endpoint = "redis:6380".parse().unwrap();
        assert_eq!(a.address(), b.address());
        assert_ne!(b.address(), c.address());
    }

    #[test]
    fn nothing_printed_holds_a_login() {
        let endpoint: Endpoint = "rediss://hidden-user:hidden-pass@h:1".parse().unwrap();
        assert_eq!(
            format!("{endpoint} {endpoint:?}"),
            "rediss://h:1 Endpoint(rediss://h:1)"
        );
        assert_eq!(format!("{0} {0:?}", Secret::new("hidden")), "*** ***");
        let cases = [
            ("redis://u:hidden@h:1/3", "redis://***@h:1/3"),
            ("u:hidden@h:1", "***@h:1"),
            ("redis://u:hid@den@a,b", "redis://***@a,b"),
            ("redis://u:hidden", "redis://u:***"),
            ("h:1?password=hidden", "h:1"),
            ("unix:///s?pass=hidden", "unix:///s"),
            ("unix:///a@b", "unix:///a@b"),
            ("unix://u:hidden@/s", "unix://***@/s"),
            ("[::1]:x", "[::1]:***"),
            ("[::1]", "[::1]"),
            ("localhost:65536", "localhost:65536"),
        ];
        for (value, shown) in cases {
            assert_eq!(masked(value), shown);
        }
    }
}
