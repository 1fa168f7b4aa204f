//! Content codings, applied so that each piece of a body can be decoded as soon as it arrives.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};

/// A content coding (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
    /// With the zlib wrapper, as the RFC has it.
    Deflate,
}

impl Coding {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Gzip, Self::Brotli, Self::Zstd, Self::Deflate].into_iter().find(|coding| coding.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }

    /// Encodes the pieces of a body as one stream, flushed after each piece; the stream's end is part of the last one.
    pub(super) fn encode(self, pieces: &[Bytes]) -> io::Result<Vec<Bytes>> {
        let level = flate2::Compression::default();
        match self {
            Self::Gzip => flushed(GzEncoder::new(Vec::new(), level), pieces, GzEncoder::get_mut, GzEncoder::finish),
            Self::Deflate => {
                flushed(ZlibEncoder::new(Vec::new(), level), pieces, ZlibEncoder::get_mut, ZlibEncoder::finish)
            }
            Self::Zstd => {
                flushed(zstd::Encoder::new(Vec::new(), 0)?, pieces, zstd::Encoder::get_mut, zstd::Encoder::finish)
            }
            Self::Brotli => {
                let encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
                flushed(encoder, pieces, brotli::CompressorWriter::get_mut, |e| Ok(e.into_inner()))
            }
        }
    }
}

fn flushed<E: Write>(
    mut encoder: E,
    pieces: &[Bytes],
    out: impl Fn(&mut E) -> &mut Vec<u8>,
    finish: impl FnOnce(E) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<Bytes>> {
    let Some((last, first)) = pieces.split_last() else { return Ok(Vec::new()) };
    let mut encoded = Vec::with_capacity(pieces.len());
    for piece in first {
        encoder.write_all(piece)?;
        encoder.flush()?;
        encoded.push(Bytes::from(std::mem::take(out(&mut encoder))));
    }
    encoder.write_all(last)?;
    encoded.push(Bytes::from(finish(encoder)?));
    Ok(encoded)
}

/// Decodes a gzip body, as clients send their telemetry; anything else is returned as it is.
pub(super) fn decode_request(coding: Option<&str>, body: &Bytes) -> Bytes {
    if coding != Some("gzip") {
        return body.clone();
    }
    let mut text = Vec::new();
    match flate2::read::MultiGzDecoder::new(body.as_ref()).read_to_end(&mut text) {
        Ok(_) => Bytes::from(text),
        Err(_) => body.clone(),
    }
}
