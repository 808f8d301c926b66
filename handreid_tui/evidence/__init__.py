"""From scores to evidence: open-set error rates, calibrated likelihood ratios, and cases. numpy and scipy alone."""
