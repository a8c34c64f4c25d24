# Reads the CSV tables of an export (lobule-records/1) with their types, labels and code lists.
# Base R, 3.5 or newer; no package is needed.
#
#   source("read_records.R", encoding = "UTF-8")
#   records <- read_records(".")          # a list with one data frame per table
#   attr(records$LB$albumin, "label")     # what the column means
#
# A value that is missing is NA; the column <item>__missing says why: not_done, unknown, not_applicable.
# A partial date stays text (2026-04-UK); <item>__earliest and <item>__latest are the days it can be.

read_as_text <- function(path) {
  read.csv(path, colClasses = "character", na.strings = "", check.names = FALSE, fileEncoding = "UTF-8-BOM")
}

typed <- function(values, kind, codes) {
  if (nrow(codes) > 0) {
    return(factor(values, levels = codes$code, labels = make.unique(codes$label)))
  }
  if (kind %in% c("integer", "decimal", "flag")) {
    return(as.numeric(values))
  }
  if (kind == "date") {
    return(as.Date(values))
  }
  if (kind == "datetime") {
    return(as.POSIXct(values, format = "%Y-%m-%d %H:%M:%S", tz = "UTC"))
  }
  values
}

read_records <- function(folder = ".") {
  dictionary <- read_as_text(file.path(folder, "dictionary.csv"))
  codelists <- read_as_text(file.path(folder, "codelists.csv"))
  records <- list()
  for (table in unique(dictionary$table)) {
    path <- file.path(folder, paste0(table, ".csv"))
    if (!file.exists(path)) {
      next
    }
    data <- read_as_text(path)
    columns <- dictionary[dictionary$table == table & dictionary$column %in% names(data), ]
    for (i in seq_len(nrow(columns))) {
      name <- columns$column[i]
      codes <- codelists[codelists$table == table & codelists$column == name, ]
      values <- typed(data[[name]], columns$kind[i], codes)
      attr(values, "label") <- columns$label[i]
      if (!is.na(columns$unit[i])) {
        attr(values, "unit") <- columns$unit[i]
      }
      data[[name]] <- values
    }
    records[[table]] <- data
  }
  records
}
