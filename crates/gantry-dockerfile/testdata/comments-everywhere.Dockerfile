# first comment
    # indented comment
FROM alpine
	# tab-indented comment
RUN echo one && \
# comment one
    echo two && \
    # comment two \
    echo three \

    && echo four

# comment before
# two lines
RUN echo "# not a comment" # shell comment
ENV A=b \
# about c
    C=d
