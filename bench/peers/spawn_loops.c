/* How many commands a machine can start and wait for: LOOPS processes, each spawning and waiting for one command at a time.
 *
 *   spawn_loops run PROGRAM LOOPS COUNT       PROGRAM i, output left alone
 *   spawn_loops capture PROGRAM LOOPS COUNT   PROGRAM i i+1 i+2, output read through a pipe and written whole to stdout
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void die(const char *what) {
    perror(what);
    _exit(1);
}

static void wait_for(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid) die("waitpid");
    if (status != 0) _exit(1);
}

static void run(char *program, int i) {
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    char *argv[] = {program, number, NULL};
    pid_t pid;
    if (posix_spawn(&pid, program, NULL, NULL, argv, environ) != 0) die("posix_spawn");
    wait_for(pid);
}

static void capture(char *program, int i) {
    char words[3][16], output[4096];
    char *argv[] = {program, words[0], words[1], words[2], NULL};
    for (int word = 0; word < 3; word++) snprintf(words[word], sizeof words[word], "%d", i + word);

    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) die("pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid_t pid;
    if (posix_spawn(&pid, program, &actions, NULL, argv, environ) != 0) die("posix_spawn");
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);

    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], output + length, sizeof output - length)) > 0;) length += (size_t)n;
    close(ends[0]);
    wait_for(pid);
    if (write(STDOUT_FILENO, output, length) != (ssize_t)length) die("write");
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    void (*one)(char *, int) = strcmp(argv[1], "capture") == 0 ? capture : run;
    int loops = atoi(argv[3]), count = atoi(argv[4]);
    for (int loop = 0; loop < loops; loop++) {
        pid_t pid = fork();
        if (pid < 0) die("fork");
        if (pid == 0) {
            for (int i = loop; i < count; i += loops) one(argv[2], i);
            _exit(0);
        }
    }
    int failed = 0, status;
    while (wait(&status) > 0) failed |= status != 0;
    return failed;
}
