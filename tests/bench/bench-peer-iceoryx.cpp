/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* iceoryx from one process to another: a chunk is lent, filled and published, and whoever
 * waits for it in a WaitSet reads it in place. A program of its own, since its runtime is
 * for one process; its daemon is started here and ended with it.
 *
 *     bench-peer-iceoryx SIZE MESSAGES
 *
 * prints the seconds that it took. */

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"

static const unsigned DEPTH = 8;

static iox::capro::ServiceDescription
get_service ()
{
  return { "libmp", "bench", "channel" };
}

/* Until it says that it is ready. */
static pid_t
start_daemon ()
{
  int fds[2];
  pid_t pid;
  std::string said;
  char byte;

  if (pipe (fds) != 0)
    std::abort ();
  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGTERM);
      dup2 (fds[1], STDOUT_FILENO);
      dup2 (fds[1], STDERR_FILENO);
      execlp ("iox-roudi", "iox-roudi", "-l", "off", "-k", "1", static_cast<char *> (nullptr));
      _exit (127);
    }
  close (fds[1]);
  while (said.find ("ready for clients") == std::string::npos)
    {
      if (read (fds[0], &byte, 1) != 1)
        {
          std::fprintf (stderr, "iox-roudi: %s\n", said.c_str ());
          std::exit (1);
        }
      said += byte;
    }
  /* The pipe stays open: it says more at its end. */
  return pid;
}

static void
put_all (size_t size, unsigned long n)
{
  iox::popo::PublisherOptions options;

  options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
  iox::runtime::PoshRuntime::initRuntime ("libmp-bench-put");
  iox::popo::UntypedPublisher publisher (get_service (), options);
  while (!publisher.hasSubscribers ())
    usleep (1000);
  for (unsigned long i = 0; i < n; i++)
    publisher.loan (static_cast<uint32_t> (size))
      .and_then ([&] (void *chunk) {
        std::memset (chunk, static_cast<int> (i), size);
        publisher.publish (chunk);
      })
      .or_else ([] (auto &) { std::abort (); });
  /* What was published goes with its publisher. */
  while (publisher.hasSubscribers ())
    usleep (1000);
}

/* Prints the seconds from the first message on. */
static void
get_all (size_t size, unsigned long n)
{
  iox::popo::SubscriberOptions options;
  std::chrono::steady_clock::time_point start;
  unsigned long got = 0;
  volatile unsigned char seen;

  iox::runtime::PoshRuntime::initRuntime ("libmp-bench-get");
  options.queueCapacity = DEPTH;
  options.subscribeOnCreate = false;
  options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
  iox::popo::UntypedSubscriber subscriber (get_service (), options);
  iox::popo::WaitSet<> waitset;
  waitset.attachState (subscriber, iox::popo::SubscriberState::HAS_DATA).or_else ([] (auto) {
    std::abort ();
  });
  /* After that: what came before it would wake nobody. */
  subscriber.subscribe ();
  while (got < n)
    {
      /* It loses a wake now and then. */
      waitset.timedWait (iox::units::Duration::fromMilliseconds (5));
      subscriber.take ().and_then ([&] (const void *chunk) {
        if (got++ == 0)
          start = std::chrono::steady_clock::now ();
        /* As a reader does that looks at all of it. */
        for (size_t i = 0; i < size; i += 64)
          seen = static_cast<const unsigned char *> (chunk)[i];
        subscriber.release (chunk);
      });
    }
  std::chrono::duration<double> took = std::chrono::steady_clock::now () - start;
  std::printf ("%.9f\n", took.count ());
}

/* Each ends by itself, so that the daemon has nobody to end. */
static pid_t
start (void (*body) (size_t size, unsigned long n), size_t size, unsigned long n)
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      body (size, n);
      std::exit (0);
    }
  return pid;
}

int
main (int argc, char **argv)
{
  size_t size = argc > 1 ? std::strtoul (argv[1], nullptr, 10) : 65536;
  unsigned long n = argc > 2 ? std::strtoul (argv[2], nullptr, 10) : 10000;
  pid_t daemon = start_daemon (), pids[2];
  int status, failed = 0;

  iox::log::LogManager::GetLogManager ().SetDefaultLogLevel (iox::log::LogLevel::kOff);
  pids[0] = start (get_all, size, n);
  pids[1] = start (put_all, size, n);
  for (pid_t pid : pids)
    failed += waitpid (pid, &status, 0) != pid || status != 0;
  kill (daemon, SIGTERM);
  waitpid (daemon, nullptr, 0);
  return failed;
}
