package main

import (
	"os"

	"github.com/spf13/pflag"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// kwok plays the kubelets. As the main function of its own repository, with its flags read twice: once for the
// configuration file, once by the command itself.
func kwok() {
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}

	ctx := signals.SetupSignalContext()
	ctx, logger := log.InitFlags(ctx, flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		fail(logger, err)
	}

	command := cmd.NewCommand(ctx)
	// Otherwise cobra takes the flag "version" of a Kubernetes library, which is not a bool, for its own.
	command.Version = ""
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		fail(logger, err)
	}
}

func fail(logger *log.Logger, err error) {
	logger.Error("kwok failed", "err", err)
	os.Exit(1)
}
