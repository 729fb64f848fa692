//! Keys and certificates of one control plane.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    string::Ia5String,
};

use crate::error::RigError;
use crate::folder::write;

/// Names under which the API server is asked for, beside the addresses.
const NAMES: [&str; 4] = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// The address of the service `kubernetes`, first of the service range.
const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// Writes `ca.crt`, `serving.crt`, `serving.key`, `front-proxy-ca.crt`, `front-proxy.crt`, `front-proxy.key`, `accounts.key`
/// and `accounts.pub` into `folder`; returns the text of `ca.crt`.
pub(crate) fn write_certificates(folder: &Path) -> Result<String, RigError> {
    let (authority, authority_text) = authority("the authority")?;
    write(&folder.join("ca.crt"), &authority_text)?;
    let mut serving = leaf("kube-apiserver", ExtendedKeyUsagePurpose::ServerAuth);
    serving.subject_alt_names = NAMES.iter().filter_map(|name| Ia5String::try_from(*name).ok()).map(SanType::DnsName).collect();
    serving.subject_alt_names.extend([Ipv4Addr::LOCALHOST, SERVICE_ADDRESS].map(|address| SanType::IpAddress(IpAddr::V4(address))));
    sign(&serving, &authority, folder, "serving")?;

    let (front_proxy, front_proxy_text) = self::authority("the front proxy authority")?;
    write(&folder.join("front-proxy-ca.crt"), &front_proxy_text)?;
    sign(&leaf("front-proxy-client", ExtendedKeyUsagePurpose::ClientAuth), &front_proxy, folder, "front-proxy")?;

    let accounts = key("service accounts")?;
    write(&folder.join("accounts.key"), &accounts.serialize_pem())?;
    write(&folder.join("accounts.pub"), &accounts.public_key_pem())?;
    Ok(authority_text)
}

fn key(subject: &'static str) -> Result<KeyPair, RigError> {
    KeyPair::generate().map_err(|source| RigError::Certificate { subject, source })
}

fn authority(subject: &'static str) -> Result<(Issuer<'static, KeyPair>, String), RigError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let key = key(subject)?;
    let certificate = params.self_signed(&key).map_err(|source| RigError::Certificate { subject, source })?;
    Ok((Issuer::new(params, key), certificate.pem()))
}

fn leaf(name: &'static str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn sign(params: &CertificateParams, authority: &Issuer<'_, KeyPair>, folder: &Path, name: &'static str) -> Result<(), RigError> {
    let key = key(name)?;
    let certificate = params.signed_by(&key, authority).map_err(|source| RigError::Certificate { subject: name, source })?;
    write(&folder.join(format!("{name}.crt")), &certificate.pem())?;
    write(&folder.join(format!("{name}.key")), &key.serialize_pem())
}
