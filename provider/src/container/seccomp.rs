//! System calls that a container's processes may make: those that Docker allows by default to processes without capabilities over the
//! machine. All others fail, as if they were forbidden.

use serde_json::{Value, json};

/// `EPERM` and `ENOSYS`.
const FORBIDDEN: u32 = 1;
const UNKNOWN: u32 = 38;
/// `CLONE_NEW*`: a namespace of one's own gives powers that the container has not.
const NAMESPACES: u64 = 0x7E02_0000;
/// `personality` as every program knows it: Linux, with 32 or 64 bits, addresses drawn or not.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];
/// Families of sockets: of the same machine, IPv4, IPv6, of the kernel's network. The bus to a hypervisor's host and the kernel's crypto are
/// not among them; nor is the call that hides the family from a filter (`socketcall`).
const FAMILIES: [u64; 4] = [1, 2, 10, 16];

const ALLOWED: &str = "\
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 \
clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect \
copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate \
fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork \
fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 \
futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 \
getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid \
getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 \
getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents \
io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset \
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr \
lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat \
mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep \
newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll \
ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read \
readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat \
rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam \
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid \
setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat \
shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketpair splice stat stat64 statfs \
statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete \
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 \
timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat \
utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev arch_prctl chroot";

/// The profile, as an OCI bundle has it.
pub fn profile() -> Value {
    let names: Vec<&str> = ALLOWED.split_ascii_whitespace().collect();
    let allow = |name: &str, arguments: Value| json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments});
    let mut calls = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    calls.extend(PERSONALITIES.map(|value| {
        allow(
            "personality",
            json!([{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]),
        )
    }));
    calls.push(allow(
        "clone",
        json!([{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]),
    ));
    // Its flags lie in memory, where no filter sees them: programs then take the older call.
    calls.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": UNKNOWN}));
    calls.extend(FAMILIES.map(|value| {
        allow(
            "socket",
            json!([{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]),
        )
    }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": FORBIDDEN,
        "architectures": architectures(),
        "syscalls": calls,
    })
}

fn architectures() -> &'static [&'static str] {
    match std::env::consts::ARCH {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_the_machine_is_not_among_what_is_allowed() {
        let allowed: Vec<&str> = ALLOWED.split_ascii_whitespace().collect();
        for call in [
            "add_key",
            "bpf",
            "clone",
            "clone3",
            "delete_module",
            "finit_module",
            "fsopen",
            "init_module",
            "io_uring_setup",
            "kexec_load",
            "keyctl",
            "mount",
            "move_mount",
            "open_by_handle_at",
            "perf_event_open",
            "personality",
            "pivot_root",
            "process_vm_writev",
            "ptrace",
            "reboot",
            "setns",
            "socket",
            "socketcall",
            "swapon",
            "umount2",
            "unshare",
            "userfaultfd",
        ] {
            assert!(!allowed.contains(&call), "{call}");
        }
        let mut once = allowed.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), allowed.len());
    }

    #[test]
    fn nothing_is_allowed_by_default_and_namespaces_are_refused() {
        let profile = profile();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let calls = profile["syscalls"].as_array().unwrap();
        let of = |name: &str| {
            let found = calls.iter().filter(|call| call["names"][0] == name);
            found.collect::<Vec<_>>()
        };
        assert_eq!(of("clone3")[0]["errnoRet"], UNKNOWN);
        assert_eq!(of("clone")[0]["args"][0]["value"], NAMESPACES);
        assert_eq!(of("socket").len(), FAMILIES.len());
    }
}
