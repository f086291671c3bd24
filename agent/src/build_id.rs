use std::fs::File;
use std::sync::OnceLock;

use object::elf::{ELF_NOTE_GNU, FileHeader64, NT_GNU_BUILD_ID};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadCache};

/// The file by which the kernel still knows the program itself, whatever lies under its name by now.
pub(crate) const OWN: &str = "/proc/self/exe";

/// What tells this build of the program from any other, in hexadecimal digits; none if its linker wrote none. The first call
/// reads the notes in the program's file: not for requests.
pub(crate) fn build_id() -> Option<&'static str> {
    static ID: OnceLock<Option<String>> = OnceLock::new();
    ID.get_or_init(read).as_deref()
}

/// Looks at the notes alone: to parse the whole file would bring all its symbols into memory.
fn read() -> Option<String> {
    let file = ReadCache::new(File::open(OWN).ok()?);
    let header = FileHeader64::<Endianness>::parse(&file).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, &file).ok()?;
    segments.iter().find_map(|segment| {
        let mut notes = segment.notes(endian, &file).ok()??;
        while let Ok(Some(note)) = notes.next() {
            if note.name() == ELF_NOTE_GNU && note.n_type(endian) == NT_GNU_BUILD_ID {
                return digits(note.desc());
            }
        }
        None
    })
}

fn digits(id: &[u8]) -> Option<String> {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let takes = 1..=appweight_wire::limits::NAME_BYTES;
    takes.contains(&digits.len()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use object::Object;

    use super::*;

    #[test]
    fn it_is_what_the_whole_file_says() {
        let bytes = std::fs::read(OWN).unwrap();
        let whole = object::File::parse(&*bytes).unwrap();
        let expected = whole.build_id().unwrap().and_then(digits);
        assert_eq!(build_id(), expected.as_deref());
        assert_eq!(digits(&[0x5f, 0x0c]).as_deref(), Some("5f0c"));
        assert_eq!((digits(&[]), digits(&[0; 101])), (None, None));
    }
}
