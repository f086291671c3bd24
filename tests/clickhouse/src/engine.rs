#![expect(
    unsafe_code,
    reason = "the engine is a C library that is loaded at run time"
)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use libloading::Library;

use crate::statement::{Insert, Request};

type Answer = *mut c_void;

/// A connection, which is used by one request at a time, on whichever thread.
struct Connection(*mut *mut c_void);

// SAFETY: the library binds a connection to no thread; all it asks is that its statements run one after the other.
unsafe impl Send for Connection {}

/// What was said on a connection: its database, if any, and its settings.
type Said = (Option<String>, Vec<(String, String)>);

/// Connections that wait for a request which says the same. A server takes settings with each statement; here they are
/// statements of their own, which take as long as a short question.
const MOST_IDLE: usize = 64;

/// Is said with its statement: it is another one each time.
const TOKEN: &str = "insert_deduplication_token";

/// The functions of the library that are used here, from its C interface of version 26.
struct Functions {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut *mut c_void,
    close: unsafe extern "C" fn(*mut *mut c_void),
    query: unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> Answer,
    bytes: unsafe extern "C" fn(Answer) -> *const c_char,
    length: unsafe extern "C" fn(Answer) -> usize,
    error: unsafe extern "C" fn(Answer) -> *const c_char,
    destroy: unsafe extern "C" fn(Answer),
}

/// The engine on one folder. There is one in a process.
pub(crate) struct Engine {
    functions: Functions,
    path: CString,
    idle: Mutex<HashMap<Said, Vec<Connection>>>,
    /// Where the rows of an insert lie until the engine has read them: in memory, if there is such a folder.
    passing: PathBuf,
}

/// What the engine did not do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// ClickHouse's number for it.
    pub(crate) code: u32,
    /// Its words.
    pub(crate) message: String,
}

impl Failure {
    /// The number stands at the start: `Code: 62. DB::Exception: …`.
    pub(crate) fn new(message: &str) -> Self {
        let number = message
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next());
        Self {
            code: number
                .and_then(|number| number.parse().ok())
                .unwrap_or(1000),
            message: message.to_owned(),
        }
    }
}

impl Engine {
    /// Loads the library and opens the folder.
    pub(crate) fn open(library: &Path, data: &Path) -> anyhow::Result<Self> {
        let named = || format!("cannot load {}", library.display());
        // SAFETY: the library's initialisers are those of ClickHouse and need nothing of ours. It is never unloaded.
        let library = unsafe { Library::new(library) }.with_context(named)?;
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the types are those of the library's header.
        let functions = unsafe {
            Functions {
                connect: *library.get(b"chdb_connect")?,
                close: *library.get(b"chdb_close_conn")?,
                query: *library.get(b"chdb_query_n")?,
                bytes: *library.get(b"chdb_result_buffer")?,
                length: *library.get(b"chdb_result_length")?,
                error: *library.get(b"chdb_result_error")?,
                destroy: *library.get(b"chdb_destroy_query_result")?,
            }
        };
        std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
        // By a relative path the engine does not find the folders that it is to sync.
        let data = std::path::absolute(data)?;
        let path = CString::new(format!("--path={}", data.display()))?;
        let memory = PathBuf::from("/dev/shm");
        let passing = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let engine = Self {
            functions,
            path,
            idle: Mutex::default(),
            passing,
        };
        // The first connection starts the engine, and it ends with the last one: this one stays open.
        let first = engine.connect();
        anyhow::ensure!(
            !first.0.is_null(),
            "the engine cannot use {}",
            data.display()
        );
        Ok(engine)
    }

    /// Asks, and hands back the rows in the form that was asked for.
    pub(crate) fn query(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let format = request.format.as_deref().unwrap_or("TabSeparated");
        self.run(request, &request.sql, format)
    }

    /// Inserts the rows of a body. They go by way of a file: behind `FORMAT` in a statement they would be cut at
    /// the first empty line, silently.
    pub(crate) fn insert(
        &self,
        request: &Request,
        insert: &Insert<'_>,
        rows: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let failed = |error: std::io::Error| Failure::new(&error.to_string());
        let mut file = tempfile::NamedTempFile::new_in(&self.passing).map_err(failed)?;
        file.write_all(rows).map_err(failed)?;
        file.flush().map_err(failed)?;
        let Insert { into, format } = insert;
        let path = quoted(&file.path().display().to_string());
        let token = request.settings.iter().find(|(name, _)| name == TOKEN);
        let token = token.map_or(String::new(), |(name, value)| {
            format!(" SETTINGS {name} = {}", quoted(value))
        });
        let sql = format!("INSERT INTO {into} FROM INFILE {path}{token} FORMAT {format}");
        self.run(request, &sql, "Null")
    }

    /// Runs a statement on a connection with the settings of its request.
    fn run(&self, request: &Request, sql: &str, format: &str) -> Result<Vec<u8>, Failure> {
        let settings = request.settings.iter().filter(|(name, _)| name != TOKEN);
        let said: Said = (request.database.clone(), settings.cloned().collect());
        let idle = self.idle().get_mut(&said).and_then(Vec::pop);
        let session = match idle {
            Some(connection) => Session {
                functions: &self.functions,
                connection,
            },
            None => Session::begin(self, &said)?,
        };
        // After an error nobody knows what state it is in: it is closed.
        let answer = session.run(sql, format)?;
        let mut idle = self.idle();
        if idle.values().map(Vec::len).sum::<usize>() < MOST_IDLE {
            idle.entry(said).or_default().push(session.into_idle());
        }
        Ok(answer)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<Said, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Connection {
        let program = c"clickhouse".as_ptr().cast_mut();
        let mut words = [program, self.path.as_ptr().cast_mut()];
        // SAFETY: two words that live until it returns; it copies them.
        Connection(unsafe { (self.functions.connect)(2, words.as_mut_ptr()) })
    }
}

/// A connection with the settings of its requests. Connections run beside each other; one runs its statements
/// one after the other.
struct Session<'a> {
    functions: &'a Functions,
    connection: Connection,
}

impl<'a> Session<'a> {
    fn begin(engine: &'a Engine, (database, settings): &Said) -> Result<Self, Failure> {
        let connection = engine.connect();
        if connection.0.is_null() {
            return Err(Failure::new(
                "Code: 1000. DB::Exception: no more connections",
            ));
        }
        let session = Self {
            functions: &engine.functions,
            connection,
        };
        if let Some(database) = database {
            session.run(&format!("USE {}", named(database)), "Null")?;
        }
        // A server takes no question without SELECT either.
        let mut set = "SET implicit_select = 0".to_owned();
        for (name, value) in settings {
            set.push_str(&format!(", {} = {}", named(name), quoted(value)));
        }
        session.run(&set, "Null")?;
        Ok(session)
    }

    /// Leaves the connection open.
    fn into_idle(mut self) -> Connection {
        Connection(std::mem::replace(
            &mut self.connection.0,
            std::ptr::null_mut(),
        ))
    }

    fn run(&self, sql: &str, format: &str) -> Result<Vec<u8>, Failure> {
        let functions = self.functions;
        // SAFETY: the connection is open; both texts are given with their lengths and outlive the call; the answer
        // is read before it is destroyed, and destroyed once.
        unsafe {
            let answer = (functions.query)(
                *self.connection.0,
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
            );
            let error = (functions.error)(answer);
            let result = if error.is_null() {
                let (bytes, length) = ((functions.bytes)(answer), (functions.length)(answer));
                Ok(if bytes.is_null() {
                    Vec::new()
                } else {
                    std::slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec()
                })
            } else {
                Err(Failure::new(&CStr::from_ptr(error).to_string_lossy()))
            };
            (functions.destroy)(answer);
            result
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.connection.0.is_null() {
            // SAFETY: it is open and nobody else has it: it is closed once.
            unsafe { (self.functions.close)(self.connection.0) }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn named(text: &str) -> String {
    format!("`{}`", text.replace('\\', "\\\\").replace('`', "\\`"))
}
