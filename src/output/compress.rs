//! Compression of request bodies.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::config::settings::Compressor;

impl Compressor {
    /// Value of `Content-Encoding`; `None` = no header.
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Zstd { .. } => Some("zstd"),
            Self::Zlib => Some("deflate"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

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
        let encodings =
            [Compressor::Zstd { level: 1 }, Compressor::Zlib, Compressor::Gzip, Compressor::Identity].map(Compressor::content_encoding);
        assert_eq!(encodings, [Some("zstd"), Some("deflate"), Some("gzip"), None]);
    }
}
