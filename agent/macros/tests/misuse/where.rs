use appweight_agent_macros::profiled;

struct Feed;

#[profiled]
impl Feed {
    fn load(&self) {}
}

#[profiled]
struct Page;

trait Source {
    #[profiled]
    fn read(&self);
}

#[profiled]
const fn size() -> usize {
    3
}

fn main() {}
