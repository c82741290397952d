//! How far a callback would get, without sending one: look-up, guard, connection, TLS session. For `job-worker check`.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use url::{Host, Url};

use super::failure::{Failure, detail};
use super::guard::Guard;
use super::lookup::Lookup;
use super::settings::CONNECT;

/// Is how far a callback would get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reached {
    /// The address that took the connection.
    pub address: SocketAddr,
    /// The version of TLS that was agreed on; `None` for an `http` URL.
    pub tls: Option<String>,
}

/// Connects to the receiver of `url`, and closes the connection without a request.
///
/// `ca` is PEM of certificate authorities trusted beside the public ones. Each phase may take [`CONNECT`].
///
/// # Errors
/// What a callback would fail with.
pub fn reach(url: &str, guard: Guard, ca: Option<&str>) -> Result<Reached, Failure> {
    let url = Url::parse(url).map_err(|_| Failure::Url)?;
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(Failure::Url);
    };
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::Url);
    }
    let addresses = Lookup::new(guard).permitted(&format!("{host}:{port}"), CONNECT)?;
    let mut stream = connect(&addresses)?;
    let address = stream.peer_addr().map_err(|error| connection(&error))?;
    let tls = match url.scheme() {
        "https" => Some(handshake(&mut stream, &host, ca)?),
        _ => None,
    };
    Ok(Reached { address, tls })
}

fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut failure = Failure::Lookup("no address".to_owned());
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = connection(&error),
        }
    }
    Err(failure)
}

fn handshake(stream: &mut TcpStream, host: &Host<&str>, ca: Option<&str>) -> Result<String, Failure> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(|_| Failure::Url)?,
        Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Tls(detail(&error)))?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    let mut session =
        ClientConnection::new(Arc::new(config), name).map_err(|error| Failure::Tls(detail(&error)))?;
    let bounded = |stream: &TcpStream| {
        stream.set_read_timeout(Some(CONNECT))?;
        stream.set_write_timeout(Some(CONNECT))
    };
    bounded(stream).map_err(|error| connection(&error))?;
    while session.is_handshaking() {
        session
            .complete_io(stream)
            .map_err(|error| Failure::Tls(detail(&error)))?;
    }
    session.send_close_notify();
    // The receiver need not take the farewell.
    match session.complete_io(stream) {
        Ok(_) | Err(_) => {}
    }
    let version = session.protocol_version().map(|version| format!("{version:?}"));
    Ok(version.unwrap_or_default())
}

fn roots(ca: Option<&str>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    for certificate in CertificateDer::pem_slice_iter(ca.unwrap_or_default().as_bytes()) {
        let certificate = certificate.map_err(|error| Failure::Tls(detail(&error)))?;
        roots
            .add(certificate)
            .map_err(|error| Failure::Tls(detail(&error)))?;
    }
    Ok(roots)
}

fn connection(error: &io::Error) -> Failure {
    Failure::Connection(detail(error))
}
