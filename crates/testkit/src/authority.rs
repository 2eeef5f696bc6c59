//! A certificate authority for tests and sandboxes. Its keys protect nothing.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    Error, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};

/// Issues certificates for tests and sandboxes.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    name: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A system or a gateway that connects.
    Client,
    /// A gateway or node that listens on loopback.
    Server,
    /// A client whose certificate ran out in 2021.
    ExpiredClient,
}

/// A certificate and its private key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The certificate in DER.
    pub certificate_der: Vec<u8>,
    /// The private key, PKCS#8 in PEM.
    pub key_pem: String,
    serial: SerialNumber,
}

/// A new Ed25519 key, PKCS#8 in PEM, as a ledger signs with.
///
/// # Errors
///
/// Fails if the system gives no randomness.
pub fn ed25519_key_pem() -> Result<String, Error> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ED25519)?.serialize_pem())
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    ///
    /// Fails if the system gives no randomness.
    pub fn new(name: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2046, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, name: name.to_owned() })
    }

    /// The authority's certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate in DER.
    pub fn certificate_der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Issues a certificate to `name`.
    ///
    /// # Errors
    ///
    /// Fails if `name` cannot stand in a certificate.
    pub fn issue(&self, name: &str, profile: Profile) -> Result<Issued, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, self.name.as_str());
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = match profile {
            Profile::ExpiredClient => date_time_ymd(2021, 1, 1),
            Profile::Client | Profile::Server => date_time_ymd(2045, 1, 1),
        };
        let key = KeyPair::generate()?;
        // The key is random, so its first bytes make a serial number as good as any.
        let serial: Vec<u8> =
            [1].into_iter().chain(key.public_key_raw().iter().rev().copied()).take(16).collect();
        let serial = SerialNumber::from_slice(&serial);
        params.serial_number = Some(serial.clone());
        // Strict verifiers, as Python's from 3.13 on, want to be told which key signed.
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match profile {
            Profile::Server => {
                params.subject_alt_names = vec![
                    SanType::DnsName("localhost".try_into()?),
                    SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
                ];
                vec![ExtendedKeyUsagePurpose::ServerAuth]
            }
            Profile::Client | Profile::ExpiredClient => {
                vec![ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            serial,
        })
    }

    /// A revocation list that names `revoked`, in PEM.
    ///
    /// # Errors
    ///
    /// Fails if the list cannot be signed.
    pub fn revocation_list_pem(&self, revoked: &[&Issued]) -> Result<String, Error> {
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: issued.serial.clone(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2046, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)?.pem()
    }
}
