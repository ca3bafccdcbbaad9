//! How much memory there is: the system's own account, the limits of the control groups around the process, the GPU's.

use std::path::Path;

use super::Place;

/// Bytes that can be taken now without pushing anything out; `None` where the system does not tell.
pub fn available(place: Place) -> Option<u64> {
    match place {
        Place::Cpu => host(Path::new("/proc"), Path::new("/sys/fs/cgroup")),
        Place::Cuda(number) => gpu(number),
    }
}

#[cfg(feature = "cuda")]
fn gpu(number: usize) -> Option<u64> {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    let (free, _) = CudaContext::new(number).ok()?.mem_get_info().ok()?;
    Some(free as u64)
}

/// There is no GPU without the feature.
#[cfg(not(feature = "cuda"))]
fn gpu(_: usize) -> Option<u64> {
    None
}

/// The smallest of what the machine has and what each control group leaves.
fn host(proc: &Path, groups: &Path) -> Option<u64> {
    let meminfo = std::fs::read_to_string(proc.join("meminfo")).ok()?;
    let machine = field(&meminfo, "MemAvailable:")?.saturating_mul(1024);
    let own = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    let limits = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        match controllers {
            "" => left(groups, path, &VERSION_2),
            _ if controllers.split(',').any(|c| c == "memory") => {
                left(&groups.join("memory"), path, &VERSION_1)
            }
            _ => None,
        }
    });
    Some(limits.fold(machine, u64::min))
}

/// Names of a control group's files.
struct Names {
    limit: &'static str,
    used: &'static str,
    /// Pages of files in `memory.stat`, which the system gives up when it needs room.
    files: [&'static str; 2],
}

const VERSION_2: Names = Names {
    limit: "memory.max",
    used: "memory.current",
    files: ["inactive_file", "active_file"],
};

const VERSION_1: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    files: ["total_inactive_file", "total_active_file"],
};

/// What the group at `path` below `root` and the groups around it leave; `None` where none is limited.
fn left(root: &Path, path: &str, names: &Names) -> Option<u64> {
    let group = root.join(path);
    let around = group
        .ancestors()
        .take_while(|group| group.starts_with(root));
    around
        .filter_map(|group| {
            let read = |file: &str| std::fs::read_to_string(group.join(file)).ok();
            let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
            // `max` is no number.
            let (limit, used) = (number(names.limit)?, number(names.used)?);
            let stat = read("memory.stat").unwrap_or_default();
            let files: u64 = names
                .files
                .iter()
                .filter_map(|name| field(&stat, name))
                .sum();
            Some(limit.saturating_sub(used.saturating_sub(files)))
        })
        .min()
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (proc, groups) = (folder.path().join("proc"), folder.path().join("groups"));
        fs::create_dir_all(proc.join("self")).unwrap();
        assert_eq!(host(&proc, &groups), None);
        fs::write(
            proc.join("meminfo"),
            "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n",
        )
        .unwrap();
        assert_eq!(host(&proc, &groups), Some(8_192_000));

        fs::write(proc.join("self/cgroup"), "0::/job/task\n").unwrap();
        let task = groups.join("job/task");
        fs::create_dir_all(&task).unwrap();
        fs::write(task.join("memory.max"), "max\n").unwrap();
        assert_eq!(host(&proc, &groups), Some(8_192_000));
        // A group around the process is limited; what it holds of files can be given up.
        let job = groups.join("job");
        fs::write(job.join("memory.max"), "5000000\n").unwrap();
        fs::write(job.join("memory.current"), "3000000\n").unwrap();
        fs::write(
            job.join("memory.stat"),
            "anon 1000\ninactive_file 600000\nactive_file 400000\n",
        )
        .unwrap();
        assert_eq!(host(&proc, &groups), Some(3_000_000));
        fs::write(job.join("memory.current"), "9000000\n").unwrap();
        assert_eq!(host(&proc, &groups), Some(0));

        let old = groups.join("memory/old");
        fs::create_dir_all(&old).unwrap();
        fs::write(proc.join("self/cgroup"), "4:cpu,memory:/old\n").unwrap();
        fs::write(old.join("memory.limit_in_bytes"), "7000000").unwrap();
        fs::write(old.join("memory.usage_in_bytes"), "1000000").unwrap();
        assert_eq!(host(&proc, &groups), Some(6_000_000));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_tells() {
        assert!(available(Place::Cpu).is_some_and(|bytes| bytes > 0));
        #[cfg(not(feature = "cuda"))]
        assert_eq!(available(Place::Cuda(0)), None);
    }
}
