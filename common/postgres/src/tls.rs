//! TLS to the server, as the URL's `sslmode` asks for it, with the meaning that libpq gives the words:
//! `disable`; `prefer` (the default: encrypted if the server can) and `require`, both without a check of who answers unless
//! `sslrootcert` names a root; `verify-ca` (a certificate that a root vouches for) and `verify-full` (and for this host).
//! `sslrootcert` is a PEM file, or `system` for the public roots; `sslcert` and `sslkey` identify us to the server.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tokio_postgres::{
    config::{Host, SslMode},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::PostgresError;

/// The value that means the public roots.
const SYSTEM: &str = "system";

/// What a URL says of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    mode: Option<String>,
    root: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Wanted {
    fn take(&mut self, key: &str, value: String) -> bool {
        let place = match key {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.root,
            "sslcert" => &mut self.cert,
            "sslkey" => &mut self.key,
            _ => return false,
        };
        *place = Some(value);
        true
    }
}

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    Name,
}

/// Reads a URL or key-value string; its parts about TLS go to the connector, the rest to the configuration.
pub(crate) fn parse(text: &str) -> Result<(tokio_postgres::Config, Connector), PostgresError> {
    let (rest, wanted) = split(text)?;
    let mut config: tokio_postgres::Config = rest
        .parse()
        .map_err(|error| PostgresError::Url(with_sources(&error)))?;
    let (mode, check) = match (wanted.mode.as_deref(), &wanted.root) {
        (Some("disable"), _) => (SslMode::Disable, Check::Nothing),
        (None | Some("prefer"), _) => (SslMode::Prefer, Check::Nothing),
        (Some("require"), None) => (SslMode::Require, Check::Nothing),
        (Some("require"), Some(_)) | (Some("verify-ca"), _) => (SslMode::Require, Check::Chain),
        (Some("verify-full"), _) => (SslMode::Require, Check::Name),
        (Some(other), _) => {
            return Err(PostgresError::Url(format!(
                "sslmode = {other:?}: allowed is disable, prefer, require, verify-ca or verify-full"
            )));
        }
    };
    // A socket in the file system is not a network; servers offer no TLS there.
    let local = !config.get_hosts().is_empty()
        && config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)));
    config.ssl_mode(if local { SslMode::Disable } else { mode });
    Ok((config, connector(&wanted, check)?))
}

/// Makes TLS streams. A socket in the file system has no host name to make one for, and never comes to that.
#[derive(Clone)]
pub(crate) struct Connector(MakeRustlsConnect);

impl<S> MakeTlsConnect<S> for Connector
where
    MakeRustlsConnect: MakeTlsConnect<S>,
{
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        let local = domain.is_empty() || domain.starts_with(['/', '@']);
        let domain = if local { "localhost" } else { domain };
        self.0.make_tls_connect(domain)
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(inner) => format!("{error}: {inner}"),
        None => error.to_string(),
    }
}

fn connector(wanted: &Wanted, check: Check) -> Result<Connector, PostgresError> {
    let tls = |error: RustlsError| PostgresError::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Nothing => Arc::new(Lenient {
            chain: None,
            provider: provider.clone(),
        }),
        Check::Chain | Check::Name => {
            let roots = Arc::new(roots(wanted.root.as_deref())?);
            let strict = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| PostgresError::Tls(error.to_string()))?;
            match check {
                Check::Name => strict,
                _ => Arc::new(Lenient {
                    chain: Some(strict),
                    provider: provider.clone(),
                }),
            }
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&wanted.cert, &wanted.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "sslcert")?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| PostgresError::Tls(format!("sslkey = {key:?}: {error}")))?;
            builder.with_client_auth_cert(chain, key).map_err(tls)?
        }
        _ => {
            return Err(PostgresError::Url(
                "sslcert and sslkey only go together".into(),
            ));
        }
    };
    Ok(Connector(MakeRustlsConnect::new(config)))
}

fn certificates(path: &str, key: &str) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let failed =
        |error: &dyn std::fmt::Display| PostgresError::Tls(format!("{key} = {path:?}: {error}"));
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| failed(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))?;
    match found.is_empty() {
        true => Err(failed(&"there is no certificate in it")),
        false => Ok(found),
    }
}

fn roots(path: Option<&str>) -> Result<RootCertStore, PostgresError> {
    let mut store = RootCertStore::empty();
    match path {
        None | Some(SYSTEM) => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path, "sslrootcert")? {
                store.add(certificate).map_err(|error| {
                    PostgresError::Tls(format!("sslrootcert = {path:?}: {error}"))
                })?;
            }
        }
    }
    Ok(store)
}

/// Encrypts without asking for the host's name; with `chain`, a root must vouch for the certificate.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The chain is built before the name is compared.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Takes what concerns TLS out of a URL or key-value string.
fn split(text: &str) -> Result<(String, Wanted), PostgresError> {
    let mut wanted = Wanted::default();
    if text.starts_with("postgresql://") || text.starts_with("postgres://") {
        let Some((base, query)) = text.split_once('?') else {
            return Ok((text.into(), wanted));
        };
        let mut kept = Vec::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| PostgresError::Url(format!("{key} is not UTF-8")))?;
            if !wanted.take(key, value.into_owned()) {
                kept.push(pair);
            }
        }
        let rest = match kept.is_empty() {
            true => base.into(),
            false => format!("{base}?{}", kept.join("&")),
        };
        return Ok((rest, wanted));
    }
    let mut rest = String::new();
    for (key, value) in pairs(text)? {
        if !wanted.take(&key, value.clone()) {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            rest.push_str(&format!("{key}='{quoted}' "));
        }
    }
    Ok((rest, wanted))
}

/// `key = value` pairs; a value may be quoted, and a backslash takes the next character as it is.
fn pairs(text: &str) -> Result<Vec<(String, String)>, PostgresError> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return Err(PostgresError::Url(format!("{rest:?} has no value")));
        };
        let mut chars = after.trim_start().chars();
        let mut value = String::new();
        let quoted = chars.as_str().starts_with('\'');
        if quoted {
            chars.next();
        }
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                Some(c) if c.is_whitespace() && !quoted => break,
                Some(c) => value.push(c),
                None if quoted => {
                    return Err(PostgresError::Url(format!("{key}: the quote has no end")));
                }
                None => break,
            }
        }
        out.push((key.trim().to_owned(), value));
        rest = chars.as_str().trim_start();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_tls_is_taken_out_of_both_forms() {
        let (rest, wanted) = split(
            "postgresql://u:p@db.example/x?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Fa%20b.pem",
        )
        .unwrap();
        assert_eq!(rest, "postgresql://u:p@db.example/x?connect_timeout=3");
        assert_eq!(wanted.mode.as_deref(), Some("verify-full"));
        assert_eq!(wanted.root.as_deref(), Some("/etc/a b.pem"));
        let (rest, wanted) =
            split(r"host=/run dbname = 'a \'b' sslmode=require password=x\ y").unwrap();
        assert_eq!(rest, r"host='/run' dbname='a \'b' password='x y' ");
        assert_eq!(wanted.mode.as_deref(), Some("require"));
        assert!(split("host").is_err() && split("host='x").is_err());
    }

    #[test]
    fn a_mode_that_is_not_known_is_named() {
        let error = parse("postgresql://h/d?sslmode=sometimes").err().unwrap();
        assert!(error.to_string().contains("sometimes"), "{error}");
        let error = parse("postgresql://h/d?sslmode=verify-ca&sslrootcert=/no/such.pem");
        assert!(error.err().unwrap().to_string().contains("/no/such.pem"));
        let (config, _) = parse("host=/run/x dbname=d sslmode=require").unwrap();
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
    }
}
