use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use addr2line::{Loader, demangle_auto};
use appweight_wire::Function;
use object::{Object, ObjectSegment, ReadCache};

use crate::build_id::OWN;

/// The files that the process's code comes from, read when one is first asked for.
#[derive(Debug, Default)]
pub(super) struct Modules {
    mappings: Vec<Mapping>,
    looked_at: Option<Instant>,
    files: HashMap<PathBuf, Option<Module>>,
}

/// A part of a file in memory.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    /// Where it begins in the file.
    offset: u64,
    file: PathBuf,
}

struct Module {
    loader: Loader,
    /// Of each segment: where it is in the file, its bytes there, and its address by the file.
    segments: Vec<(u64, u64, u64)>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Module")
            .field(&self.segments)
            .finish()
    }
}

/// Libraries are loaded while a program runs, but not all the time.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Modules {
    /// The functions at an address, innermost first; none if nothing is known.
    pub(super) fn functions(&mut self, address: u64) -> Vec<Function> {
        let Some((file, offset)) = self.place(address) else {
            return Vec::new();
        };
        let module = self
            .files
            .entry(file)
            .or_insert_with_key(|file| Module::open(file));
        let Some(module) = module else {
            return Vec::new();
        };
        module.functions(offset)
    }

    /// The file that it comes from, and where it is there.
    fn place(&mut self, address: u64) -> Option<(PathBuf, u64)> {
        let found = self.find(address);
        if found.is_some() || self.looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return found;
        }
        self.looked_at = Some(Instant::now());
        self.mappings = mappings(&fs::read_to_string("/proc/self/maps").unwrap_or_default());
        self.find(address)
    }

    fn find(&self, address: u64) -> Option<(PathBuf, u64)> {
        let mut mappings = self.mappings.iter();
        let mapping = mappings.find(|mapping| (mapping.start..mapping.end).contains(&address))?;
        Some((
            mapping.file.clone(),
            address - mapping.start + mapping.offset,
        ))
    }
}

/// What is executable and comes from a file, from the text of `/proc/self/maps`.
fn mappings(text: &str) -> Vec<Mapping> {
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let mapping = |line: &str| {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let is_code = fields.next()?.contains('x');
        let offset = fields.next()?;
        let file = fields.nth(2)?.trim();
        (is_code && file.starts_with('/')).then_some(Mapping {
            start: hexadecimal(start)?,
            end: hexadecimal(end)?,
            offset: hexadecimal(offset)?,
            // Also a file that was replaced by a new deploy is there under this name.
            file: file.strip_suffix(" (deleted)").unwrap_or(file).into(),
        })
    };
    text.lines().filter_map(mapping).collect()
}

/// The path under which the process's own program can be read.
fn readable(file: &Path) -> &Path {
    let is_own = fs::read_link(OWN).is_ok_and(|own| {
        let own = own.to_string_lossy();
        Path::new(own.strip_suffix(" (deleted)").unwrap_or(&own)) == file
    });
    if is_own && !file.exists() {
        Path::new(OWN)
    } else {
        file
    }
}

impl Module {
    fn open(file: &Path) -> Option<Self> {
        let file = readable(file);
        let cache = ReadCache::new(File::open(file).ok()?);
        let segments = object::File::parse(&cache).ok()?;
        let segments = segments.segments().map(|segment| {
            let (offset, bytes) = segment.file_range();
            (offset, bytes, segment.address())
        });
        Some(Self {
            segments: segments.collect(),
            loader: Loader::new(file).ok()?,
        })
    }

    fn functions(&self, offset: u64) -> Vec<Function> {
        let mut segments = self.segments.iter();
        let segment =
            segments.find(|(start, bytes, _)| (*start..*start + *bytes).contains(&offset));
        let Some((start, _, address)) = segment else {
            return Vec::new();
        };
        let address = offset - start + address;
        let mut functions = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.demangle().ok());
                let file = frame.location.and_then(|location| location.file);
                // The line is where it was, not where the function begins, so it is not told.
                functions.push(Function {
                    name: name.map(Cow::into_owned).unwrap_or_default(),
                    file: file.unwrap_or_default().to_owned(),
                    line: 0,
                });
            }
        }
        // The outermost has a symbol, which tells its whole path; of the others it is known only what the compiler
        // wrote down for a debugger.
        if let Some(symbol) = self.loader.find_symbol(address) {
            let name = demangle_auto(Cow::Borrowed(symbol), None).into_owned();
            match functions.last_mut() {
                Some(function) => function.name = name,
                None => functions.push(Function::named(&name)),
            }
        }
        functions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_in_its_file() {
        let text = "\
55d0-55e0 r--p 00000000 fd:01 99 /usr/bin/some thing\n\
55e0-5600 r-xp 00010000 fd:01 99                         /usr/bin/some thing\n\
7f00-7f10 r-xp 00002000 fd:01 12 /usr/lib/libc.so (deleted)\n\
7fff-8000 r-xp 00000000 00:00 0  [vdso]\n";
        let modules = Modules {
            mappings: mappings(text),
            looked_at: Some(Instant::now()),
            files: HashMap::new(),
        };
        let found = |address| {
            modules
                .find(address)
                .map(|(file, at)| (file.display().to_string(), at))
        };
        assert_eq!(
            found(0x55e1),
            Some(("/usr/bin/some thing".to_owned(), 0x1_0001))
        );
        assert_eq!(found(0x7f0f), Some(("/usr/lib/libc.so".to_owned(), 0x200f)));
        assert_eq!(
            (found(0x55d0), found(0x7fff), found(0x5600)),
            (None, None, None)
        );
    }
}
