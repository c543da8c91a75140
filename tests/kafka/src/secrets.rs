//! Certificates and logins of a broker, made for one test.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use std::{fs, path::Path};

/// A user that may do all.
pub const USER: &str = "mythic";
/// A user without any right.
pub const WEAK_USER: &str = "weak";
/// The password of both.
pub const PASSWORD: &str = "correct-horse-battery";

/// Writes the authority's certificate, and key and certificate of two listeners.
pub(crate) fn make(dir: &Path) -> Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A certificate whose subject is its issuer would count as signed by itself.
    authority
        .distinguished_name
        .push(DnType::CommonName, "Mythic test authority");
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    fs::write(dir.join("ca.pem"), issuer.pem())?;
    for (name, past) in [("secure", false), ("expired", true)] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()])?;
        if past {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        fs::write(dir.join(format!("{name}.pem")), both)?;
    }
    Ok(())
}
