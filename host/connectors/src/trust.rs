//! Whom the certificates of servers may be signed by, for clients that speak TLS by rustls.
//!
//! Knows files of certificates. Must not know any server.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use weir_connect::ConnectError;

/// What to do about a certificate that is not trusted.
pub(crate) const TRUST: &str = "name the certificate of who signed it as `ca`";

/// Whether an error is that a certificate is not trusted, by its text.
pub(crate) fn is_mistrust(said: &str) -> bool {
    said.contains("invalid peer certificate")
}

/// The certificates of the machine, and those of `ca`; `shown` is the server, for messages. Reads files.
fn certificates(ca: Option<&Path>, shown: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let mut all = rustls_native_certs::load_native_certs().certs;
    if let Some(path) = ca {
        let unfit = |reason: String| {
            let path = path.display();
            ConnectError::user(format!("{shown}: `ca`: `{path}`: {reason}; give certificates in PEM"))
        };
        let given = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let given = given.map_err(|error| unfit(error.to_string()))?;
        if given.is_empty() {
            return Err(unfit("it holds no certificate".to_owned()));
        }
        all.extend(given);
    }
    Ok(all)
}

/// The same as a client takes them. Those of the machine that no client takes are passed over.
pub(crate) fn roots(ca: Option<&Path>, shown: &str) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(ca, shown)?);
    Ok(roots)
}

/// The same in PEM.
pub(crate) fn pem(ca: Option<&Path>, shown: &str) -> Result<Vec<u8>, ConnectError> {
    let mut out = Vec::new();
    for certificate in roots_that_parse(certificates(ca, shown)?) {
        out.extend_from_slice(b"-----BEGIN CERTIFICATE-----\n");
        weir_format::base64::push(&certificate, &mut out);
        out.extend_from_slice(b"\n-----END CERTIFICATE-----\n");
    }
    Ok(out)
}

fn roots_that_parse(all: Vec<CertificateDer<'static>>) -> impl Iterator<Item = CertificateDer<'static>> {
    all.into_iter().filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let told = |path: &Path| roots(Some(path), "redis h:1").unwrap_err().message;
        assert!(told(&path).starts_with("redis h:1: `ca`: `"), "{}", told(&path));
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(told(&path).contains("it holds no certificate; give certificates in PEM"), "{}", told(&path));
    }
}
