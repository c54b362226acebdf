/*
 * The program as a Windows service: `sc create NAME binPath= "…\tunfilter.exe run …"`. The service
 * manager starts it like any program, and it has to say who it is.
 */
#ifndef TF_SERVICE_WINDOWS_H
#define TF_SERVICE_WINDOWS_H

/*
 * Whether the service manager has started this process; then run(argc, argv) has been called as a
 * service, on another thread, which a stop of the service ends as Ctrl-C does, and *status is what
 * it returned.
 */
int tf_service_run(int (*run)(int argc, char **argv), int argc, char **argv, int *status);

#endif
