/// A block of the code, or a future, that profiles tell by name.
///
/// `scope!("name");` lasts until the end of the block that it stands in. `scope!("name", future)` is a future that is in its
/// scope while it is polled. Both do next to nothing unless the request that runs is one of those that are profiled
/// ([`AgentBuilder::profile_one_in`](crate::AgentBuilder::profile_one_in)). Whole functions are told by
/// [`profiled`](crate::profiled).
///
/// ```
/// use appweight_agent::scope;
///
/// fn page(rows: &[u32]) -> String {
///     let total: u32 = {
///         scope!("add up");
///         rows.iter().sum()
///     };
///     scope!("write");
///     format!("{total} in {} rows", rows.len())
/// }
///
/// async fn answer() -> String {
///     scope!("fetch", async { page(&[1, 2, 3]) }).await
/// }
/// # assert_eq!(page(&[1, 2]), "3 in 2 rows");
/// ```
///
/// The name is a literal; nothing else is taken:
///
/// ```compile_fail
/// const NAME: &str = "add up";
/// appweight_agent::scope!(NAME);
/// ```
#[macro_export]
macro_rules! scope {
    ($name:literal $(,)?) => {
        let _scope = $crate::__private::Scope::enter($crate::__site!($name));
    };
    ($name:literal, $future:expr $(,)?) => {
        $crate::__private::Scoped::new($crate::__site!($name), $future)
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "there is `scope!(\"name\");` for the rest of a block and `scope!(\"name\", future)`; the name is a string literal"
        )
    };
}

/// The static that a scope is known by.
#[doc(hidden)]
#[macro_export]
macro_rules! __site {
    ($name:literal) => {{
        static SITE: $crate::__private::Site =
            $crate::__private::Site::new(|| $name, ::core::file!(), ::core::line!());
        &SITE
    }};
}
