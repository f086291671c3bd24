use std::fs;
use std::path::Path;

/// Whether all CPUs have the same counters. Where they do not, a counter's number that one CPU
/// knows may be none on the next, and reading it there ends the process.
pub(crate) fn alike() -> bool {
    are_alike(Path::new("/sys/bus/event_source/devices"))
}

/// Only the units of the cores themselves list the CPUs that they belong to: one if the cores are
/// alike, or one without such a list.
fn are_alike(devices: &Path) -> bool {
    let Ok(devices) = fs::read_dir(devices) else {
        return false;
    };
    let units_of_cores = devices
        .flatten()
        .filter(|device| device.path().join("cpus").exists());
    units_of_cores.count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_of_cores_are_unlike() {
        let folder = std::env::temp_dir().join(format!("appweight-cores-{}", std::process::id()));
        assert!(!are_alike(&folder), "nothing is known");
        fs::create_dir_all(folder.join("software")).unwrap();
        assert!(are_alike(&folder));
        for (unit, alike) in [("cpu_core", true), ("cpu_atom", false)] {
            fs::create_dir_all(folder.join(unit)).unwrap();
            fs::write(folder.join(unit).join("cpus"), "0-3").unwrap();
            assert_eq!(are_alike(&folder), alike, "{unit}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
