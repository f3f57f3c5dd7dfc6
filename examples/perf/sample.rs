//! What is measured: delays seen by the client, and CPU time and memory of the proxy as the kernel accounts them.

use std::fs;

/// CPU time used so far by these processes and all their threads, in microseconds.
pub fn cpu_us(pids: &[u32]) -> u64 {
    const TICK_US: u64 = 10_000; // USER_HZ is 100 on every Linux that Rust supports
    pids.iter().filter_map(|pid| ticks(*pid)).sum::<u64>() * TICK_US
}

/// utime and stime: fields 14 and 15 of `proc_pid_stat(5)`, counted behind the parenthesised name.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Resident memory of these processes, in KiB.
pub fn rss_kib(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| rss(*pid)).sum()
}

fn rss(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Units done and delays seen since the window began.
#[derive(Default)]
pub struct Sample {
    /// Requests, connections, events or bytes.
    pub units: u64,
    /// Connections that failed.
    pub errors: u64,
    delays: Vec<u32>,
}

impl Sample {
    /// Notes one delay in microseconds.
    pub fn delay(&mut self, micros: u64) {
        self.delays.push(u32::try_from(micros).unwrap_or(u32::MAX));
    }

    /// The delay that `share` of all stay under; 0 without any.
    pub fn quantile(&mut self, share: f64) -> u32 {
        self.delays.sort_unstable();
        let at = (self.delays.len() as f64 * share) as usize;
        self.delays.get(at.min(self.delays.len().saturating_sub(1))).copied().unwrap_or(0)
    }
}
