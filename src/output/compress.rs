//! Compression of request bodies.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::config::settings::Compressor;

/// Value of `Content-Encoding` for a body; `None` = no header.
///
/// Told from how it begins: neither JSON nor our protobuf messages (first byte 0x0a) begin as compressed bodies do.
#[must_use]
pub fn encoding_of(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x78, ..] => Some("deflate"),
        _ => None,
    }
}

impl Compressor {
    /// Compresses a body.
    ///
    /// Errors: those of the compressor, for example no memory.
    pub fn compress(self, body: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd { level } => zstd::bulk::compress(&body, level),
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body)?;
                encoder.finish()
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body)?;
                encoder.finish()
            }
            Self::Identity => Ok(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const TEXT: &[u8] = b"the same words, the same words, the same words";

    #[test]
    fn every_kind_can_be_read_back() {
        let zstd = Compressor::Zstd { level: 1 }.compress(TEXT.to_vec()).unwrap();
        assert_eq!(zstd::stream::decode_all(zstd.as_slice()).unwrap(), TEXT);

        let zlib = Compressor::Zlib.compress(TEXT.to_vec()).unwrap();
        assert_eq!(zlib[0], 0x78, "zlib framing, not raw deflate");
        let mut text = Vec::new();
        flate2::read::ZlibDecoder::new(zlib.as_slice()).read_to_end(&mut text).unwrap();
        assert_eq!(text, TEXT);

        let gzip = Compressor::Gzip.compress(TEXT.to_vec()).unwrap();
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut text).unwrap();
        assert_eq!(text, TEXT);

        assert_eq!(Compressor::Identity.compress(TEXT.to_vec()).unwrap(), TEXT);
    }

    #[test]
    fn the_header_says_what_was_done() {
        let encodings = [Compressor::Zstd { level: 1 }, Compressor::Zlib, Compressor::Gzip, Compressor::Identity]
            .map(|compressor| encoding_of(&compressor.compress(TEXT.to_vec()).unwrap()));
        assert_eq!(encodings, [Some("zstd"), Some("deflate"), Some("gzip"), None]);
        assert_eq!([b"{\"a\":1}".as_slice(), b"[]", b"\x0a\x01", b""].map(encoding_of), [None; 4]);
    }
}
