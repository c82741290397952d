//! Takes the queries out of the webhook URLs of a record: they may hold secrets, and no decision looks at them.
//!
//! Everything else keeps its bytes, so that a replay compares what the store held.

use crate::pack::{Cursor, Inside, Malformed};

/// Values within values, at most; a record has half as many.
const DEPTH_MAX: usize = 24;

/// Returns the record without the query and fragment of any webhook URL.
///
/// # Errors
/// Where it is no MessagePack; nothing may be exported of it then.
pub fn without_queries(record: &[u8]) -> Result<Vec<u8>, super::NotARecord> {
    let mut cuts = Vec::new();
    let mut cursor = Cursor::new(record);
    find(&mut cursor, DEPTH_MAX, &mut cuts)?;
    if !cursor.is_done() {
        return Err(super::NotARecord::Malformed);
    }
    let mut out = Vec::with_capacity(record.len());
    let mut copied = 0;
    for Url { from, to, kept } in cuts {
        out.extend_from_slice(&record[copied..from]);
        text(&mut out, kept);
        copied = to;
    }
    out.extend_from_slice(&record[copied..]);
    Ok(out)
}

/// A URL with a query: where its string begins and ends, and what is kept of it.
struct Url<'a> {
    from: usize,
    to: usize,
    kept: &'a [u8],
}

/// Finds every field `webhook` with a query in a value and whatever is inside it.
fn find<'a>(cursor: &mut Cursor<'a>, depth: usize, found: &mut Vec<Url<'a>>) -> Result<(), Malformed> {
    if depth == 0 {
        return Err(Malformed);
    }
    match cursor.open()? {
        Inside::Nothing => {}
        Inside::Values(count) => {
            for _ in 0..count {
                find(cursor, depth - 1, found)?;
            }
        }
        Inside::Pairs(count) => {
            for _ in 0..count {
                let name = cursor.text()?;
                let from = cursor.at();
                let mut value = *cursor;
                match value.text() {
                    Ok(url) if name == b"webhook" => {
                        if let Some(end) = url.iter().position(|byte| matches!(byte, b'?' | b'#')) {
                            found.push(Url {
                                from,
                                to: value.at(),
                                kept: &url[..end],
                            });
                        }
                        *cursor = value;
                    }
                    Ok(_) | Err(Malformed) => find(cursor, depth - 1, found)?,
                }
            }
        }
    }
    Ok(())
}

/// Appends a string in its shortest form.
fn text(out: &mut Vec<u8>, text: &[u8]) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..32), _) => out.push(0xa0 | length),
        (Ok(length), _) => out.extend_from_slice(&[0xd9, length]),
        (_, Ok(length)) => {
            out.push(0xda);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(0xdb);
            // A frame is far smaller than 4 GiB.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}
