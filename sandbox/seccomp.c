/* seccomp.c - a deny list for what a database server never does but an exploit would: new namespaces, mounts, tracing, keys, kernel
 * interfaces with a history of holes, and every socket that isn't a unix one. Namespaces and limits are what isolates; this makes the
 * kernel's attack surface smaller. Refused calls fail with EPERM (clone3 with ENOSYS, so that libc falls back to clone, whose
 * flags a filter can see). */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_AARCH64
#else
#error "name this machine's AUDIT_ARCH here"
#endif

#define X32_BIT 0x40000000U
#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define REFUSED(error) (SECCOMP_RET_ERRNO | ((error)&SECCOMP_RET_DATA))
#define DENY(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), ANSWER(REFUSED(EPERM))

// clang-format off
static const struct sock_filter filter[] = {
    FIELD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_NATIVE, 1, 0),
    ANSWER(SECCOMP_RET_KILL_PROCESS),
    FIELD(nr),
#ifdef __x86_64__
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
    ANSWER(SECCOMP_RET_KILL_PROCESS),
#endif
    DENY(mount), DENY(umount2), DENY(pivot_root), DENY(chroot), DENY(open_tree), DENY(move_mount), DENY(fsopen), DENY(fsconfig), DENY(fsmount),
    DENY(fspick), DENY(unshare), DENY(setns), DENY(ptrace), DENY(process_vm_readv), DENY(process_vm_writev), DENY(kexec_load), DENY(init_module),
    DENY(finit_module), DENY(delete_module), DENY(bpf), DENY(perf_event_open), DENY(userfaultfd), DENY(io_uring_setup), DENY(io_uring_enter),
    DENY(io_uring_register), DENY(keyctl), DENY(add_key), DENY(request_key), DENY(swapon), DENY(swapoff), DENY(reboot), DENY(acct), DENY(syslog),
    DENY(personality), DENY(name_to_handle_at), DENY(open_by_handle_at), DENY(fanotify_init), DENY(quotactl), DENY(vhangup), DENY(pidfd_getfd),
    DENY(memfd_create), DENY(socketpair),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1),
    ANSWER(REFUSED(ENOSYS)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4),
    FIELD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET, 0, 1),
    ANSWER(REFUSED(EPERM)),
    ANSWER(SECCOMP_RET_ALLOW),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
    FIELD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0),
    ANSWER(REFUSED(EAFNOSUPPORT)),
    ANSWER(SECCOMP_RET_ALLOW),
};
// clang-format on

int seccomp_filter_fd(void) {
  int fd = memfd_create("seccomp", 0);
  if (fd < 0) return -1;
  if (write(fd, filter, sizeof filter) != (ssize_t)sizeof filter || lseek(fd, 0, SEEK_SET) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}
