// SPDX-License-Identifier: MIT

// Reads what cron_tool reads, and answers by robfig/cron.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		parts := strings.SplitN(in.Text(), "\t", 3)
		var after int64
		var count int
		fmt.Sscan(parts[0], &after)
		fmt.Sscan(parts[1], &count)
		schedule, err := cron.ParseStandard(parts[2])
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		at := time.Unix(after, 0).UTC()
		words := []string{}
		for i := 0; i < count; i++ {
			at = schedule.Next(at)
			if at.IsZero() {
				break
			}
			words = append(words, fmt.Sprint(at.Unix()))
		}
		fmt.Println(strings.Join(words, " "))
	}
}
