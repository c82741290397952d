//! Where a Redis server listens, and who we are there.

use std::fmt;

/// Names a Redis server and the login for it.
#[derive(Clone, Eq, PartialEq)]
pub struct Endpoint {
    place: Place,
    user: Option<String>,
    password: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Place {
    Tcp { host: String, port: u16, tls: bool },
    Unix(std::path::PathBuf),
}

/// Says why a string is not an endpoint.
#[derive(Debug, thiserror::Error)]
#[error("an endpoint is host:port, redis://…, rediss://… or unix:///path")]
pub struct Error;

impl Endpoint {
    /// Parses `host:port`, `redis://…`, `rediss://…` or `unix:///path`.
    ///
    /// # Errors
    /// When the text is none of these.
    pub fn parse(text: &str) -> Result<Endpoint, Error> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Endpoint {
                place: Place::Unix(path.into()),
                user: None,
                password: None,
            });
        }
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("redis://{text}")
        };
        let url = url::Url::parse(&full).map_err(|_| Error)?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(Error),
        };
        Ok(Endpoint {
            place: Place::Tcp {
                host: url.host_str().ok_or(Error)?.to_owned(),
                port: url.port().unwrap_or(6379),
                tls,
            },
            user: Some(url.username().to_owned()).filter(|user| !user.is_empty()),
            password: url.password().map(ToOwned::to_owned),
        })
    }

    /// Returns the address without the login, as `host:port` or a path.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    /// Returns what the Redis client needs; `password` wins over the endpoint's own.
    #[must_use]
    pub fn connection_info(&self, db: i64, password: Option<&str>) -> redis::ConnectionInfo {
        let address = match &self.place {
            Place::Tcp {
                host,
                port,
                tls: false,
            } => redis::ConnectionAddr::Tcp(host.clone(), *port),
            Place::Tcp {
                host,
                port,
                tls: true,
            } => redis::ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Place::Unix(path) => redis::ConnectionAddr::Unix(path.clone()),
        };
        let mut login = redis::RedisConnectionInfo::default().set_db(db);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = password.or(self.password.as_deref()) {
            login = login.set_password(password);
        }
        redis::IntoConnectionInfo::into_connection_info(address)
            .expect("an address is a connection info")
            .set_redis_settings(login)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.address())
    }
}
