use crate::store::StoreError;
use crate::turns;

/// Does what takes its time, as reading a file or comparing thousands of cells, on a thread where no other request waits
/// for it.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let place = turns::place();
    let work = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Cut(error.to_string()))
}
