use std::borrow::Cow;

use appweight_wire::Function;

/// A place in the code that is a scope: what [`profiled`](crate::profiled) and [`scope!`](crate::scope) keep in a static.
#[derive(Debug)]
pub struct Site {
    name: fn() -> &'static str,
    file: &'static str,
    line: u32,
}

/// The function inside a profiled one whose path tells where it stands.
const MARKER: &str = "::__appweight_name";
/// What the compiler calls the body of an async function.
const BODY: &str = "::{{closure}}";

impl Site {
    /// One of that name, in that line of that file. The name is asked for by the agent's own threads only.
    #[must_use]
    pub const fn new(name: fn() -> &'static str, file: &'static str, line: u32) -> Self {
        Self { name, file, line }
    }

    pub(crate) fn function(&self) -> Function {
        Function {
            name: path((self.name)()).into_owned(),
            file: self.file.to_owned(),
            line: self.line,
        }
    }
}

/// A name as it is, or the path of the function that the marker stands in.
fn path(name: &str) -> Cow<'_, str> {
    let Some(mut path) = name.strip_suffix(MARKER) else {
        return name.into();
    };
    while let Some(outer) = path.strip_suffix(BODY) {
        path = outer;
    }
    of_its_type(path)
}

/// A method of a type's own as `Type::method`, wherever its block stands: `module::<impl Type>::method` otherwise.
fn of_its_type(path: &str) -> Cow<'_, str> {
    let found = path.split_once("::<impl ");
    match found.and_then(|(_, rest)| rest.rsplit_once(">::")) {
        Some((of, method)) if !of.contains(" for ") => format!("{of}::{method}").into(),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_called_by_its_path_and_a_block_by_its_name() {
        assert_eq!(path("a block"), "a block");
        assert_eq!(
            path("photos::Store::get::__appweight_name"),
            "photos::Store::get"
        );
        assert_eq!(
            path("photos::feed::{{closure}}::__appweight_name"),
            "photos::feed"
        );
        let named = [
            (
                "photos::pages::<impl photos::Store>::get",
                "photos::Store::get",
            ),
            (
                "photos::pages::<impl photos::Page<T>>::get",
                "photos::Page<T>::get",
            ),
            (
                "<photos::Store as photos::Keep>::get",
                "<photos::Store as photos::Keep>::get",
            ),
            (
                "photos::<impl photos::Keep for u8>::get",
                "photos::<impl photos::Keep for u8>::get",
            ),
        ];
        for (full, short) in named {
            assert_eq!(path(&format!("{full}{MARKER}")), short);
        }
        assert_eq!(
            path("photos::feed::{{closure}}::x"),
            "photos::feed::{{closure}}::x"
        );
    }
}
