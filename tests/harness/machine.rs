//! What the measurements ran on.

use std::fs::read_to_string;

/// Threads that each side may use: every core, or what STEREOSCOPE_PEER_THREADS says.
pub fn threads() -> usize {
    let asked = std::env::var("STEREOSCOPE_PEER_THREADS").ok();
    asked
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(cores)
}

/// Cores of the machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Name of the processor.
pub fn processor() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown processor", |(_, name)| name.trim())
        .to_owned()
}

/// Processes that were running or waiting to run, averaged over the last minute.
pub fn load() -> String {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("?").to_owned()
}

/// The largest resident size that a process had, in bytes; `None` where the system does not tell.
pub fn peak(process: u32) -> Option<u64> {
    memory(process, "VmHWM:")
}

/// The resident size of a process, in bytes; `None` where the system does not tell.
pub fn resident(process: u32) -> Option<u64> {
    memory(process, "VmRSS:")
}

/// The processor time that a process has used, in seconds; `None` where the system does not tell.
pub fn processor_time(process: u32) -> Option<f64> {
    /// The kernel's unit in /proc.
    const TICKS: f64 = 100.0;
    let stat = read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may have blanks; user and system time are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// A line of the process's status, in bytes.
fn memory(process: u32, label: &str) -> Option<u64> {
    let status = read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
