"""What a run writes: fields, tables, checkpoints, figures, its report."""
