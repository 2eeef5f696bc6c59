//! A small configuration that is good, in a folder of its own, for tests to spoil.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use control::{Config, LoadError};
use expect_test::Expect;
use model::RevisionId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use tempfile::TempDir;

pub const GATEWAY: &str = "\
listen: 127.0.0.1:0
tls:
  certificate: pki/gateway.crt
  key: pki/gateway.key
  client_authorities: [pki/ca.crt]
upstream:
  certificate: pki/gateway-client.crt
  key: pki/gateway-client.key
  authorities: [pki/ca.crt]
ledger:
  directory: ../ledger
  origin: giaolien.example.gov.vn/gw1
  key: pki/ledger.key
";

pub const REGISTRY: &str = "\
members:
  - {id: G01, name: Bộ Công an}
  - {id: G09, name: Bộ Nội vụ}
  - {id: G09.05, name: Cục Chuyển đổi số, parent: G09}
systems:
  - id: hrm
    name: Hệ thống quản lý cán bộ
    member: G09.05
    certificates: [{file: pki/hrm.crt}]
nodes:
  - id: population
    name: Cơ sở dữ liệu quốc gia về dân cư
    provider: G01
    endpoints: ['dancu.example.gov.vn:50051']
    services:
      - name: vn.population.v1.PopulationService
        methods: [{name: VerifyPerson, effect: query}, LookUpPerson]
purposes:
  - {code: appointment, name: Bổ nhiệm cán bộ}
";

pub const AGREEMENTS: &str = "\
agreements:
  - id: a1
    consumer: {member: G09}
    node: population
    service: vn.population.v1.PopulationService
    methods: [VerifyPerson]
    purposes: [appointment]
    legal_basis: Nghị định 278/2025/NĐ-CP, Điều 5
    mode: by_default
    state: active
    valid_from: 2026-01-01
    valid_until: 2027-12-31
    quota: [{calls: 100, per: 1s}]
";

/// A folder with the good configuration. `config` lies below it, so that it has a ledger beside it.
pub struct Fixture {
    pub root: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let fixture = Self { root: tempfile::tempdir().unwrap() };
        fixture.write("gateway.yaml", GATEWAY);
        fixture.write("registry/all.yaml", REGISTRY);
        fixture.write("agreements/all.yaml", AGREEMENTS);
        for (name, pem) in pki() {
            fixture.write(&format!("pki/{name}"), pem);
        }
        fixture
    }

    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        write(&self.root.path().join("config"), file, content);
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("config")
    }

    pub fn remove(&self, file: &str) {
        let path = self.root.path().join("config").join(file);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    pub fn load(&self) -> Result<Config, LoadError> {
        control::load(&self.root.path().join("config"), RevisionId(1))
    }

    pub fn check(&self, expected: &Expect) {
        expected.assert_eq(&shown(self.load()));
    }
}

/// Loads the good configuration with some files replaced.
pub fn check_files(files: &[(&str, &str)], expected: &Expect) {
    let fixture = Fixture::new();
    for (file, content) in files {
        fixture.write(file, content);
    }
    fixture.check(expected);
}

pub fn shown(loaded: Result<Config, LoadError>) -> String {
    match loaded {
        Ok(_) => "good\n".to_owned(),
        Err(LoadError::Problems(problems)) => {
            problems.iter().fold(String::new(), |mut text, problem| {
                writeln!(text, "{problem}").unwrap();
                text
            })
        }
        Err(error) => panic!("{error}"),
    }
}

pub fn write(root: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[0x42]));
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A list with one serial number, 42 in hexadecimal.
    pub fn revocation_list(&self) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[0x42]),
            revocation_time: date_time_ymd(2026, 2, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

pub fn ledger_key() -> String {
    KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()
}

/// Files for `pki`, made once for all tests of a process.
fn pki() -> &'static [(&'static str, String)] {
    static PKI: OnceLock<Vec<(&str, String)>> = OnceLock::new();
    PKI.get_or_init(|| {
        let authority = Authority::new();
        let gateway = authority.issue("gw1.giaolien.example.gov.vn");
        let client = authority.issue("gw1-client.giaolien.example.gov.vn");
        let hrm = authority.issue("hrm.moha.example.gov.vn");
        vec![
            ("ca.crt", authority.pem()),
            ("ca.crl", authority.revocation_list()),
            ("gateway.crt", gateway.0),
            ("gateway.key", gateway.1),
            ("gateway-client.crt", client.0),
            ("gateway-client.key", client.1),
            ("hrm.crt", hrm.0),
            ("ledger.key", ledger_key()),
        ]
    })
}
