/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* private-bus CONFIG LOG COMMAND [ARG…]
 *
 * Runs COMMAND with a session bus of its own. Unlike dbus-run-session, it says
 * nothing (what the bus and the services on it print goes to LOG), lets COMMAND
 * finish after a Ctrl-C, hands SIGTERM and SIGHUP on to it, and leaves no bus
 * behind when it is killed itself. The exit status is COMMAND's, 128+n if
 * signal n killed it, 126 or 127 if it could not be run, 125 without a bus. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_BUS 125
#define CANNOT_RUN 126
#define NOT_FOUND 127
#define BUS_TIMEOUT_MS 30000
#define LOG_MAX (1 << 20)

static volatile sig_atomic_t command_pid;

static void __attribute__ ((noreturn, format (printf, 2, 3)))
die (int status, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fputs ("dev run: ", stderr);
  vfprintf (stderr, format, args);
  fputc ('\n', stderr);
  va_end (args);
  exit (status);
}

static void
forward_signal (int signal_number)
{
  if (command_pid > 0)
    kill (command_pid, signal_number);
}

/* Leaves alone what was ignored from the start, as under nohup. */
static void
set_handler (int signal_number, void (*handler) (int))
{
  struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
  struct sigaction previous;

  if (sigaction (signal_number, NULL, &previous) == 0 && previous.sa_handler != SIG_IGN)
    sigaction (signal_number, &action, NULL);
}

static int
open_log (const char *path)
{
  struct stat st;
  int fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

  if (fd < 0)
    return open ("/dev/null", O_WRONLY | O_CLOEXEC);
  if (fstat (fd, &st) == 0 && st.st_size > LOG_MAX && ftruncate (fd, 0) < 0)
    return fd;
  return fd;
}

/* In the child: becomes the bus daemon, in a process group of its own so that
 * a Ctrl-C at the terminal is not for it, and ends with its parent. */
static void __attribute__ ((noreturn))
exec_bus (const char *config, const char *log, int address_fd, pid_t parent)
{
  char config_option[4096];
  char address_option[64];
  int log_fd = open_log (log);
  int null_fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

  setpgid (0, 0);
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  if (getppid () != parent)
    _exit (NO_BUS);
  if (dup2 (null_fd, STDIN_FILENO) < 0 || dup2 (log_fd, STDOUT_FILENO) < 0 ||
      dup2 (log_fd, STDERR_FILENO) < 0 || fcntl (address_fd, F_SETFD, 0) < 0)
    _exit (NO_BUS);
  snprintf (config_option, sizeof config_option, "--config-file=%s", config);
  snprintf (address_option, sizeof address_option, "--print-address=%d", address_fd);
  execlp ("dbus-daemon", "dbus-daemon", "--nofork", config_option, address_option, NULL);
  _exit (NO_BUS);
}

/* Reads the one line that the bus prints when it is ready. */
static int
read_address (int fd, char *address, size_t size)
{
  size_t used = 0;

  while (used + 1 < size)
    {
      struct pollfd pfd = { fd, POLLIN, 0 };
      ssize_t n;

      if (poll (&pfd, 1, BUS_TIMEOUT_MS) <= 0)
        return 0;
      n = read (fd, address + used, size - used - 1);
      if (n <= 0)
        return 0;
      used += (size_t) n;
      address[used] = '\0';
      if (strchr (address, '\n') != NULL)
        {
          *strchr (address, '\n') = '\0';
          return 1;
        }
    }
  return 0;
}

static pid_t
start_bus (const char *config, const char *log)
{
  char address[1024];
  int fds[2];
  pid_t parent = getpid ();
  pid_t pid;

  if (pipe2 (fds, O_CLOEXEC) < 0)
    die (NO_BUS, "pipe: %s", strerror (errno));
  pid = fork ();
  if (pid < 0)
    die (NO_BUS, "fork: %s", strerror (errno));
  if (pid == 0)
    exec_bus (config, log, fds[1], parent);
  close (fds[1]);
  if (!read_address (fds[0], address, sizeof address))
    {
      kill (pid, SIGKILL);
      die (NO_BUS, "dbus-daemon did not start; see %s", log);
    }
  close (fds[0]);
  setenv ("DBUS_SESSION_BUS_ADDRESS", address, 1);
  unsetenv ("DBUS_STARTER_ADDRESS");
  unsetenv ("DBUS_STARTER_BUS_TYPE");
  return pid;
}

static void __attribute__ ((noreturn)) exec_command (char **argv, const sigset_t *mask)
{
  sigprocmask (SIG_SETMASK, mask, NULL);
  execvp (argv[0], argv);
  die (errno == ENOENT ? NOT_FOUND : CANNOT_RUN, "%s: %s", argv[0], strerror (errno));
}

static int
run_command (char **argv)
{
  sigset_t handled, previous;
  pid_t pid;
  int status;

  /* Blocked until both sides are ready, so that no early signal is lost. */
  sigemptyset (&handled);
  sigaddset (&handled, SIGTERM);
  sigaddset (&handled, SIGHUP);
  sigaddset (&handled, SIGINT);
  sigaddset (&handled, SIGQUIT);
  sigprocmask (SIG_BLOCK, &handled, &previous);
  pid = fork ();
  if (pid < 0)
    die (NO_BUS, "fork: %s", strerror (errno));
  if (pid == 0)
    exec_command (argv, &previous);

  command_pid = pid;
  set_handler (SIGTERM, forward_signal);
  set_handler (SIGHUP, forward_signal);
  /* The terminal sends these two to COMMAND as well. */
  set_handler (SIGINT, SIG_IGN);
  set_handler (SIGQUIT, SIG_IGN);
  sigprocmask (SIG_SETMASK, &previous, NULL);

  while (waitpid (pid, &status, 0) < 0)
    if (errno != EINTR)
      die (NO_BUS, "waitpid: %s", strerror (errno));
  command_pid = 0;
  return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

int
main (int argc, char **argv)
{
  pid_t bus;
  int status;

  if (argc < 4)
    die (2, "usage: private-bus CONFIG LOG COMMAND [ARG…]");
  bus = start_bus (argv[1], argv[2]);
  status = run_command (argv + 3);
  kill (bus, SIGTERM);
  while (waitpid (bus, NULL, 0) < 0 && errno == EINTR)
    ;
  return status;
}
