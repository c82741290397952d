//! Files that are not what was written: never a panic, always the offset, and what is sound is read.

use event_log::{Damage, Fault, Item, MAGIC, Reader};

use crate::again::one_life;
use crate::lives::{file, header};
use crate::story::recorded;

/// Reads all that can be read: records, and what is wrong.
fn read(file: &[u8]) -> (Vec<Vec<u8>>, Vec<Damage>) {
    let (mut records, mut damages) = (Vec::new(), Vec::new());
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(damage) => return (records, vec![damage]),
    };
    loop {
        match reader.next() {
            Ok(Some(Item::Record { bytes, .. })) => records.push(bytes.to_vec()),
            Ok(Some(Item::Policy(_))) => {}
            Ok(None) => return (records, damages),
            Err(damage) => damages.push(damage),
        }
        assert!(damages.len() < 10, "it comes to an end: {damages:?}");
    }
}

/// Where each frame begins, from the header's to the trailer's, and where the file ends.
fn frames(file: &[u8]) -> Vec<usize> {
    let mut at = MAGIC.len() + 4;
    let mut frames = vec![at];
    while at < file.len() {
        let length = file[at + 4..at + 8].try_into().expect("four bytes");
        at += 8 + usize::try_from(u32::from_le_bytes(length)).expect("a small number");
        frames.push(at);
    }
    frames
}

#[test]
fn what_is_written_is_read() {
    let life = one_life();
    let records: Vec<Vec<u8>> = life.iter().map(recorded).collect();
    let file = file(&life);
    assert_eq!(read(&file), (records, vec![]));
    assert_eq!(Reader::new(&*file).expect("a log").header(), &header());
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_as_far_as_it_goes() {
    let life = one_life();
    let records: Vec<Vec<u8>> = life.iter().map(recorded).collect();
    let file = file(&life);
    let frames = frames(&file);
    for end in 0..file.len() {
        let (read, damages) = read(&file[..end]);
        // Frames that end before the cut, but for the header's.
        let whole = frames[1..]
            .iter()
            .filter(|next| **next <= end)
            .count()
            .saturating_sub(1);
        assert_eq!(read, records[..whole], "cut at {end}");
        let begun = frames.iter().rfind(|frame| **frame <= end);
        let wanted = match begun {
            _ if end == 0 => (0, Fault::NotALog),
            None => (0, Fault::Cut),
            Some(frame) if *frame == end => (end, Fault::NoTrailer),
            Some(frame) => (*frame, Fault::Cut),
        };
        let (offset, fault) = wanted;
        let offset = offset as u64;
        assert_eq!(damages, [Damage { offset, fault }], "cut at {end}");
    }
}

#[test]
fn a_bit_that_is_turned_anywhere_is_found_in_its_frame_and_the_rest_is_read() {
    let life = one_life();
    let records: Vec<Vec<u8>> = life.iter().map(recorded).collect();
    let file = file(&life);
    let frames = frames(&file);
    for at in 0..file.len() {
        let mut turned = file.clone();
        turned[at] ^= 1 << (at % 8);
        let (read, damages) = read(&turned);
        let frame = frames.iter().rposition(|frame| *frame <= at);
        let offset = match frame {
            None if at < MAGIC.len() => 0,
            None => MAGIC.len(),
            Some(frame) => frames[frame],
        };
        assert_eq!(damages[0].offset, offset as u64, "bit of byte {at}: {damages:?}");
        // Frame 0 is the header: without it nothing is read.
        let hit = match frame {
            None | Some(0) => 0,
            Some(frame) => frame - 1,
        };
        assert_eq!(read[..hit], records[..hit], "bit of byte {at}");
        let in_body = frame.is_some_and(|frame| frame > 0 && at >= frames[frame] + 8);
        if in_body && hit < records.len() {
            assert_eq!(read[hit..], records[hit + 1..], "bit of byte {at}");
            assert_eq!(damages.len(), 1, "bit of byte {at}: {damages:?}");
        }
    }
}

#[test]
fn frames_that_are_taken_out_doubled_or_exchanged_are_missed() {
    let file = file(&one_life());
    let frames = frames(&file);
    let frame = |n: usize| &file[frames[n]..frames[n + 1]];
    let head = &file[..frames[1]];
    let rest = &file[frames[3]..];
    for middle in [
        vec![frame(1)],
        vec![frame(1), frame(1), frame(2)],
        vec![frame(2), frame(1)],
    ] {
        let changed = [head, &middle.concat(), rest].concat();
        let (_, damages) = read(&changed);
        let trailer = changed.len() - frame(frames.len() - 2).len();
        let wanted = Damage {
            offset: trailer as u64,
            fault: Fault::Trailer,
        };
        assert_eq!(damages, [wanted]);
    }
}

#[test]
fn other_files_and_later_formats_are_named() {
    let log = file(&one_life());
    let first = |bytes: &[u8]| read(bytes).1.remove(0);
    for other in [&b""[..], b"{}", b"\x89PNG\r\n\x1a\n and more", &[0; 64]] {
        assert_eq!(
            first(other),
            Damage {
                offset: 0,
                fault: Fault::NotALog
            }
        );
    }
    let mut later = log.clone();
    later[8] = 2;
    let damage = first(&later);
    assert_eq!(damage.fault, Fault::Later(2));
    assert_eq!(
        damage.to_string(),
        "offset 8: format 2, this program reads format 1: use the program that wrote it, or a later one"
    );
    let behind = [&log[..], b"x"].concat();
    assert_eq!(
        first(&behind),
        Damage {
            offset: log.len() as u64,
            fault: Fault::Behind
        }
    );
}
