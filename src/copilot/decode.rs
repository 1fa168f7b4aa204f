//! Undoes `Content-Encoding` on the copy of a body, under a cap: what passed the proxy is whatever the two ends sent.

use std::borrow::Cow;
use std::io::{self, Read};

use super::problem::Problem;

/// Codings in one list beyond which a body is taken for an attempt to waste time.
const MOST_CODINGS: usize = 4;

/// RFC 9659 section 3: no content coding of `zstd` needs a window over 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A body without its content coding, as far as it could be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// What was decoded before `problem`, never more than the limit. Borrowed where there was nothing to decode.
    pub bytes: Cow<'a, [u8]>,
    /// Why `bytes` is not the whole body.
    pub problem: Option<Problem>,
}

/// Undoes the codings that a `Content-Encoding` value lists (RFC 9110 section 8.4), last first, each to at most `limit`
/// bytes. After a broken coding the ones before it are undone on what there is.
#[must_use]
pub fn decode<'a>(body: &'a [u8], content_encoding: &str, limit: usize) -> Decoded<'a> {
    let codings: Vec<_> = content_encoding.split(',').map(str::trim).filter(|coding| !coding.is_empty()).collect();
    if codings.len() > MOST_CODINGS {
        return Decoded { problem: Some(Problem::UnknownCoding), ..read_capped(body, limit) };
    }
    let mut decoded = read_capped(body, if codings.is_empty() { limit } else { usize::MAX });
    for coding in codings.into_iter().rev() {
        let Decoded { bytes, problem } = undo(coding, &decoded.bytes, limit);
        decoded = Decoded { bytes: Cow::Owned(bytes.into_owned()), problem: decoded.problem.or(problem) };
        if problem == Some(Problem::UnknownCoding) {
            break;
        }
    }
    decoded
}

fn undo<'a>(coding: &str, body: &'a [u8], limit: usize) -> Decoded<'a> {
    let mut source = Source { rest: body, ran_out: false };
    if body.is_empty() {
        return read_capped(body, limit);
    }
    match coding.to_ascii_lowercase().as_str() {
        "identity" => read_capped(body, limit),
        "gzip" | "x-gzip" => drain(flate2::read::MultiGzDecoder::new(&mut source), limit).judged(&source),
        "deflate" if is_zlib(body) => drain(flate2::read::ZlibDecoder::new(&mut source), limit).judged(&source),
        "deflate" => drain(flate2::read::DeflateDecoder::new(&mut source), limit).judged(&source),
        "br" => drain(brotli::Decompressor::new(&mut source, 4096), limit).judged(&source),
        "zstd" => unzstd(&mut source, limit).judged(&source),
        _ => Decoded { problem: Some(Problem::UnknownCoding), ..read_capped(body, limit) },
    }
}

fn read_capped(body: &[u8], limit: usize) -> Decoded<'_> {
    match body.get(..limit) {
        Some(head) if head.len() < body.len() => Decoded { bytes: head.into(), problem: Some(Problem::Limit) },
        _ => Decoded { bytes: body.into(), problem: None },
    }
}

fn unzstd(source: &mut Source<'_>, limit: usize) -> Decoded<'static> {
    let decoder = zstd::Decoder::new(source).and_then(|mut decoder| {
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(decoder)
    });
    match decoder {
        Ok(decoder) => drain(decoder, limit),
        Err(_) => Decoded { bytes: Cow::default(), problem: Some(Problem::Corrupt) },
    }
}

/// RFC 9110 section 8.4.1.2: `deflate` is the zlib format, but some send the bare deflate one. RFC 1950 section 2.2 tells
/// the two apart by zlib's first two bytes.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x0F == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}

/// Reads to the end, the limit, or the first error; what came before an error stays.
fn drain(decoder: impl Read, limit: usize) -> Decoded<'static> {
    let mut bytes = Vec::new();
    let ceiling = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let result = decoder.take(ceiling).read_to_end(&mut bytes);
    let problem = match result {
        _ if bytes.len() > limit => Some(Problem::Limit),
        Ok(_) => None,
        Err(_) => Some(Problem::Corrupt),
    };
    bytes.truncate(limit);
    Decoded { bytes: bytes.into(), problem }
}

impl Decoded<'_> {
    /// A decoder that failed for want of input met a truncated body; decoders do not agree on the error that says so.
    fn judged(mut self, source: &Source<'_>) -> Self {
        if self.problem == Some(Problem::Corrupt) && source.ran_out {
            self.problem = Some(Problem::Truncated);
        }
        self
    }
}

/// A coded body that notes whether its decoder asked for more than there is.
struct Source<'a> {
    rest: &'a [u8],
    ran_out: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ran_out |= self.rest.is_empty();
        self.rest.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use proptest::prelude::*;

    use super::*;

    const CODINGS: [&str; 5] = ["gzip", "br", "zstd", "deflate", "raw-deflate"];
    const LIMIT: usize = 1 << 20;

    /// `raw-deflate` is what some servers send as `deflate`.
    fn encoded(coding: &str, text: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => written(flate2::write::GzEncoder::new(Vec::new(), Compression::fast()), text).finish().unwrap(),
            "deflate" => {
                written(flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast()), text).finish().unwrap()
            }
            "raw-deflate" => {
                written(flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast()), text).finish().unwrap()
            }
            "br" => written(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20), text).into_inner(),
            "zstd" => zstd::encode_all(text, 1).unwrap(),
            _ => unreachable!(),
        }
    }

    fn written<W: Write>(mut encoder: W, text: &[u8]) -> W {
        encoder.write_all(text).unwrap();
        encoder
    }

    fn name(coding: &str) -> &str {
        coding.trim_start_matches("raw-")
    }

    #[test]
    fn every_coding_is_undone() {
        let text = "data: {\"a\":1}\n\n".repeat(500);
        for coding in CODINGS {
            let coded = encoded(coding, text.as_bytes());
            let decoded = decode(&coded, &name(coding).to_uppercase(), LIMIT);
            assert_eq!(decoded, Decoded { bytes: text.clone().into_bytes().into(), problem: None }, "{coding}");
        }
    }

    #[test]
    fn a_list_is_undone_from_its_end() {
        let twice = encoded("br", &encoded("gzip", b"hello"));
        assert_eq!(decode(&twice, "gzip, identity,br", LIMIT), Decoded { bytes: b"hello"[..].into(), problem: None });
    }

    #[test]
    fn no_coding_leaves_the_bytes_under_the_limit() {
        assert_eq!(decode(b"hello", "", 5), Decoded { bytes: b"hello"[..].into(), problem: None });
        assert_eq!(decode(b"hello", "", 4), Decoded { bytes: b"hell"[..].into(), problem: Some(Problem::Limit) });
        assert_eq!(
            decode(b"hello", "identity", 4),
            Decoded { bytes: b"hell"[..].into(), problem: Some(Problem::Limit) }
        );
    }

    #[test]
    fn an_unknown_coding_leaves_the_bytes_in_it() {
        let unknown = Decoded { bytes: b"hello"[..].into(), problem: Some(Problem::UnknownCoding) };
        assert_eq!(decode(b"hello", "snappy", LIMIT), unknown);
        assert_eq!(decode(&encoded("gzip", b"hello"), "snappy, gzip", LIMIT), unknown);
        assert_eq!(decode(b"hello", "gzip,gzip,gzip,gzip,gzip", LIMIT), unknown);
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0_u8; 64 << 20];
        for coding in CODINGS {
            let bomb = encoded(coding, &zeros);
            assert!(bomb.len() < zeros.len() / 100, "{coding} bomb of {}", bomb.len());
            let decoded = decode(&bomb, name(coding), LIMIT);
            assert_eq!((decoded.bytes.len(), decoded.problem), (LIMIT, Some(Problem::Limit)), "{coding}");
            let taken = decoded.bytes.into_owned().capacity();
            assert!(taken <= 4 * LIMIT, "{coding} took {taken}");
        }
    }

    #[test]
    fn a_bomb_in_a_bomb_stops_as_well() {
        let coded = encoded("zstd", &encoded("gzip", &vec![0_u8; 64 << 20]));
        let decoded = decode(&coded, "gzip, zstd", LIMIT);
        assert_eq!((decoded.bytes.len(), decoded.problem), (LIMIT, Some(Problem::Limit)));
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_whole() {
        for coding in CODINGS {
            let coded = encoded(coding, &[7; 1000]);
            let decoded = decode(&coded, name(coding), 1000);
            assert_eq!((decoded.bytes.len(), decoded.problem), (1000, None), "{coding}");
        }
    }

    #[test]
    fn what_came_before_a_cut_stays() {
        let text: Vec<u8> = (0_u32..100_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for coding in CODINGS {
            let whole = encoded(coding, &text);
            let decoded = decode(&whole[..whole.len() / 2], name(coding), LIMIT);
            assert_eq!(decoded.problem, Some(Problem::Truncated), "{coding}");
            assert!(decoded.bytes.len() > text.len() / 4, "{coding} gave {}", decoded.bytes.len());
            assert!(text.starts_with(&decoded.bytes), "{coding}");
        }
    }

    #[test]
    fn broken_bytes_are_told_from_a_cut() {
        for coding in ["gzip", "br", "zstd"] {
            assert_eq!(decode(&[0xFF; 3000], coding, LIMIT).problem, Some(Problem::Corrupt), "{coding}");
        }
        let mut text = encoded("gzip", &b"hello ".repeat(100));
        let checksum = text.len() - 6;
        text[checksum] ^= 1;
        assert_eq!(decode(&text, "gzip", LIMIT).problem, Some(Problem::Corrupt));
    }

    #[test]
    fn an_empty_body_has_no_coding() {
        for coding in CODINGS {
            assert_eq!(decode(b"", name(coding), LIMIT), Decoded { bytes: Cow::default(), problem: None });
        }
    }

    proptest! {
        #[test]
        fn any_bytes_under_any_coding_stay_under_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            list in "((gzip|br|zstd|deflate|identity|x)[, ]){0,5}",
            limit in 0_usize..500,
        ) {
            prop_assert!(decode(&bytes, &list, limit).bytes.len() <= limit);
        }
    }
}
