/// How stacks are sampled, and what became of the samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SamplingStatus {
    /// How they are taken; `None` if they are not.
    pub read_by: Option<String>,
    /// Why they are not.
    pub absent_because: Option<String>,
    /// Why a thread is not sampled, though others are.
    pub refused: Option<String>,
    /// Requests and tasks that were sampled and have ended.
    pub requests: u64,
    /// Those among them that found no room on the way to their profile.
    pub dropped_requests: u64,
    /// Stacks that the kernel handed over.
    pub samples: u64,
    /// Stacks that the kernel took, and had no room for.
    pub lost: u64,
    /// Stacks that came while no profiled request was being polled: they are in no profile.
    pub given_to_none: u64,
    /// Times that the kernel held back, because samples took too much of a CPU.
    pub throttled: u64,
    /// Polls of those requests.
    pub polls: u64,
    /// Those among them that no stack was taken of, as their thread could not be sampled.
    pub unsampled_polls: u64,
    /// How allocations are sampled; `None` if they are not.
    pub allocations_read_by: Option<String>,
    /// Why they are not.
    pub allocations_absent_because: Option<String>,
    /// How stacks of the whole process are sampled, where those of requests cannot be; `None` if they are not.
    pub process_read_by: Option<String>,
    /// Why they are not.
    pub process_absent_because: Option<String>,
    /// Tells the build of the program, whose symbols name the functions, from any other, and is sent with its profiles:
    /// hexadecimal digits, if the linker wrote it.
    pub build_id: Option<String>,
    /// Sampled allocations of which it is not known whether they were given back.
    pub untracked_allocations: u64,
}
