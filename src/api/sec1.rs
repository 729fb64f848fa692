//! EC keys in the form stock processes write and read: PEM `EC PRIVATE KEY` (SEC 1, RFC 5915) with the curve named.
//!
//! Why own code: the certificate crate writes PKCS #8 only, and a Go process that shares our `ipc_cert.pem` reads SEC 1 only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Everything before the 32 bytes of the private number in a PKCS #8 key for P-256.
const PKCS8_P256: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
];
/// The same in SEC 1.
const SEC1_P256: [u8; 7] = [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
/// Name of the curve, then the head of the public point, in SEC 1.
const SEC1_CURVE_AND_POINT: [u8; 16] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42];
const PRIVATE_LENGTH: usize = 32;
const POINT_LENGTH: usize = 65;

/// Turns a PKCS #8 key for P-256 into SEC 1; `None` if it is another kind of key.
pub(crate) fn from_pkcs8(pkcs8: &[u8], public_point: &[u8]) -> Option<Vec<u8>> {
    let private = pkcs8.strip_prefix(&PKCS8_P256)?.get(..PRIVATE_LENGTH)?;
    if public_point.len() != POINT_LENGTH {
        return None;
    }
    // A bit string begins with the number of unused bits.
    Some([&SEC1_P256[..], private, &SEC1_CURVE_AND_POINT, &[0], public_point].concat())
}

/// DER as a PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64.encode(der);
    let lines = (0..encoded.len()).step_by(64).filter_map(|start| encoded.get(start..encoded.len().min(start + 64)));
    let lines: Vec<_> = lines.collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
