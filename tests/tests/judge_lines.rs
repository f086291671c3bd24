//! The lines of `docs/judge.md` are those that the program reads and writes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use appweight_tests::{program, run};
use serde_json::Value;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/judge.md");
    std::fs::read_to_string(path).expect("the document")
}

/// The fenced blocks of that language.
fn blocks(language: &str) -> Vec<String> {
    let document = document();
    let fence = format!("```{language}\n");
    let blocks = document.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("```").next().expect("a block").to_owned())
        .collect()
}

/// What the program writes that is given that on standard input.
fn piped(words: &[&str], input: &[u8]) -> String {
    let mut child = program("appweight")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut given = child.stdin.take().expect("a pipe");
    given.write_all(input).expect("it reads");
    drop(given);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it writes text")
}

/// The cells that the document's example writes.
fn cells() -> Vec<u8> {
    let [example] = blocks("sh").try_into().expect("one block");
    let script = example.replace("| appweight judge -", "");
    assert_ne!(script, example, "it is given to the program");
    let output = Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Whether that is what the document has, whose figures are rounded.
#[track_caller]
fn assert_documented(told: &str, documented: &str) {
    fn is_same(told: &Value, documented: &Value) -> bool {
        match (told, documented) {
            (Value::Object(told), Value::Object(documented)) => {
                told.len() == documented.len()
                    && told.iter().all(|(name, value)| {
                        documented
                            .get(name)
                            .is_some_and(|other| is_same(value, other))
                    })
            }
            (Value::Array(told), Value::Array(documented)) => {
                let mut both = told.iter().zip(documented);
                told.len() == documented.len() && both.all(|(one, other)| is_same(one, other))
            }
            (Value::Number(told), Value::Number(documented)) => {
                let (told, documented) = (told.as_f64(), documented.as_f64());
                told.zip(documented)
                    .is_some_and(|(told, documented)| (told - documented).abs() < 2e-4)
            }
            _ => told == documented,
        }
    }
    let [one, other] = [told, documented].map(|text| {
        let value: Value = serde_json::from_str(text).expect("JSON");
        value
    });
    assert!(
        is_same(&one, &other),
        "{told} is documented as {documented}"
    );
}

#[test]
fn the_example_says_what_the_document_says() {
    let cells = cells();
    let told = piped(&["judge", "-"], &cells);
    let last = told.lines().rfind(|line| line.contains("/feed")).unwrap();
    let mut documented = blocks("json").into_iter();
    let documented = documented
        .find(|block| block.contains("\"verdict\""))
        .unwrap();
    assert_documented(last, &documented);
    let first = told.lines().next().unwrap();
    assert!(first.contains("\"at_minute\":112"), "{first}");
}

#[test]
fn a_file_a_compressed_one_and_standard_input_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.ndjson");
    let cells = cells();
    std::fs::write(&path, &cells).unwrap();
    let read = |path: &Path| {
        let ended = run(&["judge", path.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    };
    let told = read(&path);
    assert!(told.contains("\"verdict\":\"regressed\""), "{told}");
    let gzip = Command::new("gzip").arg("--keep").arg(&path).status();
    assert!(gzip.unwrap().success());
    assert_eq!(read(&folder.path().join("cells.ndjson.gz")), told);
    assert_eq!(piped(&["judge", "-"], &cells), told);
    std::fs::write(&path, "no line\n").unwrap();
    let ended = run(&["judge", path.to_str().unwrap()]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("line 1"), "{ended:?}");
}

#[test]
fn the_series_changes_where_the_document_says() {
    let blocks = blocks("json");
    let question = blocks
        .iter()
        .find(|block| block.contains("\"series\""))
        .unwrap();
    let documented = blocks
        .iter()
        .find(|block| block.contains("\"changepoints\""))
        .unwrap();
    let answer = piped(&["changepoints"], question.as_bytes());
    assert_documented(&answer, documented);
}
